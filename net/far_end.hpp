// Who is at the other end of an internet connection, or how far connecting to it has come, in the same few bytes: an idle
// connection is small. It is there for debuggers, which can ask no kernel who a core file was connected to.
#pragma once

#include <chainring/net/endpoint.hpp>
#include <chainring/runtime/slots.hpp>

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace chainring {

// Of an outgoing connection.
class connector {
  public:
    // Called once, with a result as of connect(2).
    virtual void connected(int result) noexcept = 0;

  protected:
    ~connector() = default;
};

class far_end {
  public:
    // As long as it is not known who that is.
    void begin(operation_id operation, connector& waiting) noexcept { attempt_ = {operation, &waiting}; }
    operation_id operation() const noexcept { return is_known() ? operation_id() : attempt_.operation; }
    void leave(const connector& waiting) noexcept {
        if (!is_known() && attempt_.waiting == &waiting) attempt_.waiting = nullptr;
    }
    connector* take_waiting() noexcept {
        return is_known() ? nullptr : std::exchange(attempt_.waiting, nullptr);
    }

    // There is no attempt any more. Addresses of unix sockets are too long, and those of clients empty.
    void is(const sockaddr* at) noexcept {
        const sa_family_t family = at->sa_family;
        if (family == AF_INET) {
            sockaddr_in internet{};
            std::memcpy(&internet, at, sizeof internet);
            address_ = {};
            std::memcpy(address_.data(), &internet.sin_addr, sizeof internet.sin_addr);
            port_ = internet.sin_port;
        } else if (family == AF_INET6) {
            sockaddr_in6 internet{};
            std::memcpy(&internet, at, sizeof internet);
            address_ = {};
            std::memcpy(address_.data(), &internet.sin6_addr, address_.size());
            port_ = internet.sin6_port;
            interface_ = internet.sin6_scope_id;
        } else {
            return;
        }
        family_ = family;
    }

  private:
    bool is_known() const noexcept { return family_ != AF_UNSPEC; }

    struct attempt {
        operation_id operation;
        connector* waiting = nullptr; // no more: it has left, or was told
    };

    sa_family_t family_ = AF_UNSPEC; // not known
    in_port_t port_ = 0;             // in the order of the network
    std::uint32_t interface_ = 0;    // of a link-local address
    union {
        attempt attempt_{};
        std::array<std::uint8_t, 16> address_;
    };
};

} // namespace chainring
