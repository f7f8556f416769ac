// What the sinks for datagrams have in common: their socket, and the line at their end.
#pragma once

#include "listening.hpp"

#include <linux/sock_diag.h>

namespace peers {

inline int bind_sink(const std::string& text) {
    const sockaddr_in address = parse_address(text);
    const int bound = checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    const int room = 4 * 1024 * 1024;
    checked(setsockopt(bound, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), "SO_RCVBUF");
    checked(
        bind(bound, reinterpret_cast<const sockaddr*>(&address), sizeof address), ("bind " + text).c_str());
    return bound;
}

inline void print_received(
    int bound, unsigned long long datagrams, unsigned long long bytes, unsigned long long receives) {
    std::uint32_t all[SK_MEMINFO_VARS] = {};
    socklen_t size = sizeof all;
    checked(getsockopt(bound, SOL_SOCKET, SO_MEMINFO, all, &size), "SO_MEMINFO");
    std::printf(
        "datagrams=%llu bytes=%llu receives=%llu drops=%u\n", datagrams, bytes, receives,
        all[SK_MEMINFO_DROPS]);
}

} // namespace peers
