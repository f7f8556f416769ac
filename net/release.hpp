// Releasing: a descriptor leaves its stream or listener, open and with nothing lost, for another loop, thread or process.
#pragma once

#include <chainring/net/acceptor.hpp>
#include <chainring/net/connection.hpp>
#include <chainring/runtime/operation.hpp>
#include <chainring/runtime/owned_descriptor.hpp>

#include <system_error>
#include <vector>

namespace chainring {

struct released_stream {
    owned_descriptor descriptor; // close-on-exec; closes unless it is taken
    // What was received and not taken, in order, a lease each; the leases end on any thread. Where messages have boundaries
    // each is one. The next owner's first receives must yield them (adopt.hpp).
    std::vector<buffer> received;
    // What was written and not sent, in order: no part of it is on the wire, and whoever sends next begins with it. Of a
    // stream it begins with the rest of a message that was cut off, also of one that `send` was waiting for. Messages with
    // descriptors (send_fd) are not among them: their senders are told.
    std::vector<std::vector<std::byte>> unsent;
    // Why not all was sent: errc::timed_out, errc::cancelled, or what the connection broke by. Also what it broke by when
    // nothing was to be sent, as the kernel tells that once.
    std::error_code error;
};

template <class Stream> struct released_listener {
    owned_descriptor descriptor;  // close-on-exec; closes unless it is taken
    std::vector<Stream> accepted; // ahead of who would have taken them, in order
};

// What is the same for both.
class release_waiter : public operation<release_waiter, end_waiter> {
  public:
    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { socket_->hurry_release(errc::cancelled); }
    void describe(task_tree& to) const override;

  protected:
    // nullptr: closed.
    release_waiter(socket* released, duration limit) noexcept
        : operation(released)
        , limit_(limit) {}
    release_waiter(release_waiter&&) = default;
    ~release_waiter();

    bool takes_descriptor() const noexcept override { return true; }
    void take_descriptor(int descriptor) noexcept override {
        descriptor_ = owned_descriptor(descriptor, home_->behind());
        collect();
    }
    // What goes with the descriptor. The socket may be gone afterwards.
    virtual void collect() noexcept = 0;

    executor* home_ = nullptr;
    owned_descriptor descriptor_;

  private:
    duration limit_;
};

class [[nodiscard("co_await it")]] release_operation : public release_waiter {
  public:
    release_operation(connection* released, duration limit) noexcept
        : release_waiter(released, limit)
        , connection_(released) {}

    result<released_stream> await_resume() {
        if (error_) return failure(error_);
        released_.descriptor = std::move(descriptor_);
        return std::move(released_);
    }

  private:
    void collect() noexcept override;

    connection* connection_;
    released_stream released_;
};

// As streams, what a listener had accepted.
socket_pointer<connection>
connection_of(executor& home, const socket_kind& kind, accepted_connection&& accepted);

template <class Stream>
class [[nodiscard("co_await it")]] listener_release_operation : public release_waiter {
  public:
    explicit listener_release_operation(acceptor* released) noexcept
        : release_waiter(released, duration::zero())
        , acceptor_(released) {}
    ~listener_release_operation() {
        for (accepted_connection& unwanted : ahead_)
            home_->dispose(unwanted.file(), std::move(unwanted.place));
    }
    listener_release_operation(listener_release_operation&&) = default;

    result<released_listener<Stream>> await_resume() {
        if (error_) return failure(error_);
        released_listener<Stream> released{std::move(descriptor_), {}};
        for (accepted_connection& each : std::exchange(ahead_, {}))
            released.accepted.push_back(Stream(connection_of(*home_, Stream::kind, std::move(each))));
        return released;
    }

  private:
    void collect() noexcept override { ahead_ = acceptor_->take_ahead(); }

    acceptor* acceptor_;
    std::vector<accepted_connection> ahead_;
};

} // namespace chainring
