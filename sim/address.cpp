#include <chainring/sim/address.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace chainring::sim {

namespace {

constexpr std::size_t name_begins = offsetof(sockaddr_un, sun_path);

sockaddr_in& as_v4(sockaddr_storage& storage) {
    return reinterpret_cast<sockaddr_in&>(storage);
}
sockaddr_in6& as_v6(sockaddr_storage& storage) {
    return reinterpret_cast<sockaddr_in6&>(storage);
}

} // namespace

address::address(int family)
    : length_(
          family == AF_UNIX   ? static_cast<socklen_t>(name_begins)
          : family == AF_INET ? sizeof(sockaddr_in)
                              : sizeof(sockaddr_in6)) {
    storage_.ss_family = static_cast<sa_family_t>(family);
}

address::address(const sockaddr* given, socklen_t length)
    : length_(std::min<socklen_t>(length, sizeof storage_)) {
    std::memcpy(&storage_, given, length_);
}

address address::of_host(const std::string& numeric) {
    address four(AF_INET);
    if (::inet_pton(AF_INET, numeric.c_str(), &as_v4(four.storage_).sin_addr) == 1) return four;
    address six(AF_INET6);
    if (::inet_pton(AF_INET6, numeric.c_str(), &as_v6(six.storage_).sin6_addr) == 1) return six;
    throw std::invalid_argument("not a numeric address: " + numeric);
}

address address::of_number(std::uint32_t number) {
    address made(AF_UNIX);
    auto& as_unix = reinterpret_cast<sockaddr_un&>(made.storage_);
    std::snprintf(as_unix.sun_path + 1, sizeof as_unix.sun_path - 1, "%05x", number);
    made.length_ += 6;
    return made;
}

bool address::has_name() const noexcept {
    return length_ > name_begins;
}

std::string address::path() const {
    if (family() != AF_UNIX || length_ <= name_begins) return {};
    const char* name = reinterpret_cast<const char*>(&storage_) + name_begins;
    return std::string(name, ::strnlen(name, length_ - name_begins));
}

std::string address::key() const {
    const std::string file = path();
    if (!file.empty()) return "path " + file;
    if (family() == AF_UNIX)
        return "name " +
               std::string(reinterpret_cast<const char*>(&storage_) + name_begins, length_ - name_begins);
    sockaddr_storage copy = storage_;
    if (family() == AF_INET)
        return "v4 " + std::string(reinterpret_cast<const char*>(&as_v4(copy).sin_addr), 4) + ':' +
               std::to_string(port());
    return "v6 " + std::string(reinterpret_cast<const char*>(&as_v6(copy).sin6_addr), 16) + ':' +
           std::to_string(port());
}

std::uint16_t address::port() const noexcept {
    sockaddr_storage copy = storage_;
    return ntohs(family() == AF_INET ? as_v4(copy).sin_port : as_v6(copy).sin6_port);
}

address address::with_port(std::uint16_t port) const {
    address changed = *this;
    if (family() == AF_INET)
        as_v4(changed.storage_).sin_port = htons(port);
    else
        as_v6(changed.storage_).sin6_port = htons(port);
    return changed;
}

address address::with_any_host() const {
    address changed = *this;
    if (family() == AF_INET)
        as_v4(changed.storage_).sin_addr.s_addr = INADDR_ANY;
    else
        as_v6(changed.storage_).sin6_addr = in6addr_any;
    return changed;
}

bool address::is_loopback() const noexcept {
    sockaddr_storage copy = storage_;
    if (family() == AF_INET) return (ntohl(as_v4(copy).sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&as_v6(copy).sin6_addr);
}

std::string address::to_string() const {
    char text[INET6_ADDRSTRLEN] = "";
    sockaddr_storage copy = storage_;
    const void* const bytes = family() == AF_INET ? static_cast<const void*>(&as_v4(copy).sin_addr)
                                                  : static_cast<const void*>(&as_v6(copy).sin6_addr);
    ::inet_ntop(family(), bytes, text, sizeof text);
    return text;
}

void address::copy_to(sockaddr* target, socklen_t& length) const {
    std::memcpy(target, &storage_, std::min(length, length_));
    length = length_;
}

} // namespace chainring::sim
