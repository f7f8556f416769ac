// What every contestant has in common, so that only the event loop differs: the listening socket with its
// options, the line that tells the harness the port, and a SIGTERM that arrives as a readable descriptor.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>

namespace peers {

// The size of one receive buffer, the same in all contestants of a shape. The echo servers take another one as --buffer.
inline constexpr std::size_t buffer_size = 4096;
inline constexpr const char* buffer_option = "bytes that one receive may yield";
inline constexpr std::size_t largest_buffer = std::size_t{1} << 20;

inline int checked(int outcome, const char* what) {
    if (outcome < 0) throw std::system_error(errno, std::system_category(), what);
    return outcome;
}

inline sockaddr_in parse_address(const std::string& text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const auto colon = text.rfind(':');
    if (colon == std::string::npos ||
        inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
        throw std::invalid_argument("not an IPv4 address and port, as in 127.0.0.1:7000: " + text);
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec != std::errc{} || parsed.ptr != end) throw std::invalid_argument("not a port: " + text);
    address.sin_port = htons(port);
    return address;
}

// A port of one listener, or of several, among which the kernel divides the connections.
enum class port_of { one, several };

// Accepted sockets inherit TCP_NODELAY, so no contestant pays a system call per connection for it.
inline int listen_on(const std::string& text, port_of listeners = port_of::one) {
    const auto address = parse_address(text);
    const int listener = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    const int on = 1;
    checked(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
    if (listeners == port_of::several)
        checked(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), "SO_REUSEPORT");
    checked(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    checked(
        bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address),
        ("bind " + text).c_str());
    checked(listen(listener, 4096), "listen");
    return listener;
}

inline std::string local_address(int listener) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    checked(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
    char name[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address.sin_addr, name, sizeof name);
    return std::string(name) + ':' + std::to_string(ntohs(address.sin_port));
}

// The harness waits for this line; it is the only way it learns a port the kernel chose.
inline void announce(int listener) {
    std::printf("listening on %s\n", local_address(listener).c_str());
    std::fflush(stdout);
}

// SIGTERM and SIGINT become readable on the descriptor instead of interrupting anything.
inline int termination_descriptor() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    checked(sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
    return checked(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

// A thousand connections need more descriptors than many shells allow by default.
inline void raise_descriptor_limit() {
    rlimit limit{};
    checked(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    checked(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

} // namespace peers
