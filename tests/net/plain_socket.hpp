// A socket driven by ordinary system calls, for the peers of what is tested; on the kernel under test.
#pragma once

#include "../kernel_under_test.hpp"

#include <chainring/chainring.hpp>

#include <catch2/catch_test_macros.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace chainring::test {

// As the calls of their names, but with -errno for what they answer. None waits, except for a connection.
namespace calls {

inline sim::simulated_kernel* simulation() {
    return kernel_under_test::simulation();
}
template <class Result> Result or_error(Result returned) {
    return returned < 0 ? static_cast<Result>(-errno) : returned;
}

inline int socket(int family, int type) {
    if (simulation() != nullptr) return simulation()->open_socket(family, type, 0);
    return or_error(::socket(family, type | SOCK_CLOEXEC, 0));
}
inline int bind(int descriptor, const endpoint& at) {
    if (simulation() != nullptr) return simulation()->bind(descriptor, at.address(), at.length());
    return or_error(::bind(descriptor, at.address(), at.length()));
}
inline int listen(int descriptor, int backlog) {
    if (simulation() != nullptr) return simulation()->listen(descriptor, backlog);
    return or_error(::listen(descriptor, backlog));
}
inline int connect(int descriptor, const endpoint& to) {
    if (simulation() != nullptr) return simulation()->connect(descriptor, to.address(), to.length());
    return or_error(::connect(descriptor, to.address(), to.length()));
}
inline int accept(int descriptor) {
    if (simulation() != nullptr) return simulation()->accept(descriptor);
    return or_error(::accept4(descriptor, nullptr, nullptr, SOCK_CLOEXEC));
}
inline ssize_t send(int descriptor, std::string_view text) {
    if (simulation() != nullptr) return simulation()->send(descriptor, text.data(), text.size());
    return or_error(::send(descriptor, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}
inline ssize_t receive(int descriptor, void* target, std::size_t size) {
    if (simulation() != nullptr) return simulation()->receive(descriptor, target, size);
    return or_error(::recv(descriptor, target, size, MSG_DONTWAIT));
}
inline int set_option(int descriptor, int level, int name, const void* value, socklen_t size) {
    if (simulation() != nullptr) return simulation()->set_option(descriptor, level, name, value, size);
    return or_error(::setsockopt(descriptor, level, name, value, size));
}
inline endpoint local_address(int descriptor) {
    sockaddr_storage room{};
    auto* address = reinterpret_cast<sockaddr*>(&room);
    socklen_t length = sizeof room;
    if (simulation() != nullptr)
        simulation()->local_address(descriptor, address, length);
    else
        ::getsockname(descriptor, address, &length);
    return endpoint::from_native(address, length);
}
inline void close(int descriptor) {
    if (simulation() != nullptr)
        simulation()->close(descriptor);
    else
        ::close(descriptor);
}

inline int must(int returned, const char* what) {
    if (returned < 0) FAIL(what << ": " << std::strerror(-returned));
    return returned;
}

} // namespace calls

// Sends dots until the way to the peer is full to the last byte, as far as can be seen now.
inline std::size_t fill(int descriptor) {
    const std::string dots(4096, '.');
    std::size_t total = 0;
    for (const std::size_t size : {dots.size(), std::size_t{1}}) {
        for (ssize_t sent = 0; (sent = calls::send(descriptor, std::string_view(dots).substr(0, size))) > 0;)
            total += static_cast<std::size_t>(sent);
    }
    return total;
}

class plain_socket {
  public:
    plain_socket() = default;
    explicit plain_socket(int descriptor)
        : descriptor_(calls::must(descriptor, "no descriptor")) {}
    plain_socket(plain_socket&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)) {}
    plain_socket& operator=(plain_socket&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~plain_socket() { close(); }

    static plain_socket connected_to(const endpoint& to, int receive_buffer = 0, int type = SOCK_STREAM) {
        plain_socket made(calls::socket(to.family(), type));
        if (receive_buffer != 0) made.set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
        calls::must(calls::connect(made.get(), to), "connect");
        return made;
    }
    static plain_socket bound(const endpoint& at, int type) {
        plain_socket made(calls::socket(at.family(), type));
        calls::must(calls::bind(made.get(), at), "bind");
        return made;
    }
    static plain_socket listening(const endpoint& at, int backlog, int type = SOCK_STREAM) {
        plain_socket made = bound(at, type);
        calls::must(calls::listen(made.get(), backlog), "listen");
        return made;
    }

    int get() const { return descriptor_; }
    bool open() const { return descriptor_ >= 0; }
    void set(int level, int name, int value) const {
        calls::must(calls::set_option(descriptor_, level, name, &value, sizeof value), "setsockopt");
    }
    endpoint local() const { return calls::local_address(descriptor_); }
    // It is the caller's from here.
    int take() { return std::exchange(descriptor_, -1); }
    void close() {
        if (descriptor_ >= 0) calls::close(std::exchange(descriptor_, -1));
    }
    // The peer sees a reset (TCP) or an end (unix).
    void reset() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        calls::set_option(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }
    bool send(std::string_view text) const {
        return calls::send(descriptor_, text) == static_cast<ssize_t>(text.size());
    }
    std::size_t fill() const { return test::fill(descriptor_); }
    // What is there now, "" if nothing is; `ended` when the peer's side is over.
    std::string read_now(bool* ended = nullptr) const {
        std::array<char, 65'536> bytes; // not cleared, and not allocated: tests look again and again
        const ssize_t got = calls::receive(descriptor_, bytes.data(), bytes.size());
        if (ended != nullptr) *ended = got <= 0 && got != -EAGAIN;
        return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
    }
    // Waits for data; for threads.
    std::string read_all() const {
        std::string all;
        std::string part(65'536, '\0');
        for (ssize_t got = 0; (got = ::recv(descriptor_, part.data(), part.size(), 0)) > 0;)
            all.append(part, 0, static_cast<std::size_t>(got));
        return all;
    }

  private:
    int descriptor_ = -1;
};

// A TCP listener whose backlog is full: who connects to it from now on waits for an answer.
struct silent_listener {
    plain_socket listener = plain_socket::listening({"127.0.0.1", 0}, 0);
    plain_socket first = plain_socket::connected_to(listener.local());

    endpoint at() const { return listener.local(); }
};

// What recv says at the end: 0 or an errno.
inline int how_it_ended(const plain_socket& peer) {
    char byte = 0;
    for (;;) {
        const ssize_t got = calls::receive(peer.get(), &byte, 1);
        if (got <= 0) return static_cast<int>(-got);
    }
}

} // namespace chainring::test
