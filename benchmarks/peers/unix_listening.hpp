// The same for unix SEQPACKET sockets with an abstract name, which leave no file behind: unix:@name.
#pragma once

#include "listening.hpp"

#include <sys/un.h>

#include <cstring>

namespace peers {

struct unix_address {
    sockaddr_un address{};
    socklen_t length = 0;

    const sockaddr* any() const { return reinterpret_cast<const sockaddr*>(&address); }
};

inline unix_address parse_unix_address(const std::string& text) {
    const std::string prefix = "unix:@";
    unix_address parsed;
    const std::size_t size = text.size() - prefix.size();
    if (!text.starts_with(prefix) || size == 0 || size >= sizeof parsed.address.sun_path)
        throw std::invalid_argument("not an abstract unix address, as in unix:@name: " + text);
    parsed.address.sun_family = AF_UNIX;
    std::memcpy(parsed.address.sun_path + 1, text.data() + prefix.size(), size);
    parsed.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
    return parsed;
}

inline int listen_for_records(const std::string& text) {
    const auto address = parse_unix_address(text);
    const int listener = checked(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "socket");
    checked(bind(listener, address.any(), address.length), ("bind " + text).c_str());
    checked(listen(listener, 4096), "listen");
    return listener;
}

} // namespace peers
