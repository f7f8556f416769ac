// Releasing a datagram socket: its descriptor leaves it, open, with what was received and not taken, and what could not be sent.
#pragma once

#include <chainring/net/bound_socket.hpp>
#include <chainring/net/datagram_envelope.hpp>
#include <chainring/net/release.hpp>

namespace chainring {

// To be sent by the next owner: `write_to(each.to, std::move(each.payload), each.options)`.
struct unsent_datagram {
    endpoint to; // of no family: the peer
    std::vector<std::byte> payload;
    datagram_send_options options;
};

struct released_datagrams {
    owned_descriptor descriptor; // close-on-exec; closes unless it is taken
    // What was received and not taken, in order. It came before all that is still in the socket.
    std::vector<datagram> received;
    // What was written and not sent, in order. Those with which descriptors were to go are not among them.
    std::vector<unsent_datagram> unsent;
    // Why not all was sent: errc::timed_out or errc::cancelled. Or what became of a datagram before, which the kernel tells
    // once: connection_refused, ...
    std::error_code error;
};

class [[nodiscard("co_await it")]] datagram_release_operation : public release_waiter {
  public:
    datagram_release_operation(bound_socket* released, duration limit) noexcept
        : release_waiter(released, limit)
        , bound_(released) {}

    result<released_datagrams> await_resume() {
        if (error_) return failure(error_);
        released_.descriptor = std::move(descriptor_);
        return std::move(released_);
    }

  private:
    void collect() noexcept override;

    bound_socket* bound_;
    released_datagrams released_;
};

} // namespace chainring
