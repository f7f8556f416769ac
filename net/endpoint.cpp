#include <chainring/net/endpoint.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace chainring {

namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr std::size_t path_room = sizeof(sockaddr_un::sun_path);
constexpr auto path_offset = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path));

template <class Number> bool parse_number(std::string_view text, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

// "eth0" or "2"; 0 when there is no such interface.
std::uint32_t scope_id(const std::string& zone) {
    if (std::uint32_t index = 0; parse_number(zone, index)) return index;
    return if_nametoindex(zone.c_str());
}

} // namespace

endpoint endpoint::from_native(const sockaddr* address, socklen_t length) noexcept {
    endpoint made;
    made.length_ = std::min<socklen_t>(length, sizeof made.storage_);
    std::memcpy(&made.storage_, address, made.length_);
    return made;
}

result<endpoint> endpoint::from_address(std::string_view address, std::uint16_t port) {
    if (address.find('\0') != std::string_view::npos)
        return failure(errc::invalid_endpoint); // C functions stop there
    const std::string text(address.substr(0, address.find('%')));
    sockaddr_in four{};
    if (inet_pton(AF_INET, std::string(address).c_str(), &four.sin_addr) == 1) {
        four.sin_family = AF_INET;
        four.sin_port = htons(port);
        return from_native(reinterpret_cast<const sockaddr*>(&four), sizeof four);
    }
    sockaddr_in6 six{};
    if (inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) == 1) {
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(port);
        if (text.size() < address.size()) {
            six.sin6_scope_id = scope_id(std::string(address.substr(text.size() + 1)));
            if (six.sin6_scope_id == 0) return failure(errc::invalid_endpoint);
        }
        return from_native(reinterpret_cast<const sockaddr*>(&six), sizeof six);
    }
    return failure(errc::invalid_endpoint);
}

endpoint::endpoint(std::string_view address, std::uint16_t port) {
    result<endpoint> made = from_address(address, port);
    if (!made) throw std::system_error(made.error(), std::string(address));
    *this = *made;
}

result<endpoint> endpoint::from_path(std::string_view path) {
    if (path.empty() || path.find('\0') != std::string_view::npos) return failure(errc::invalid_endpoint);
    if (path.size() >= path_room) return failure(errc::path_too_long);
    endpoint made;
    made.storage_.local.sun_family = AF_UNIX;
    std::memcpy(made.storage_.local.sun_path, path.data(), path.size());
    made.length_ = path_offset + static_cast<socklen_t>(path.size()) + 1;
    return made;
}

result<endpoint> endpoint::from_abstract_name(std::string_view name) {
    if (name.empty()) return failure(errc::invalid_endpoint);
    if (name.size() + 1 > path_room) return failure(errc::path_too_long);
    endpoint made;
    made.storage_.local.sun_family = AF_UNIX;
    std::memcpy(made.storage_.local.sun_path + 1, name.data(), name.size());
    made.length_ = path_offset + 1 + static_cast<socklen_t>(name.size());
    return made;
}

result<endpoint> endpoint::parse(std::string_view text) {
    if (text.starts_with(unix_prefix)) {
        text.remove_prefix(unix_prefix.size());
        if (text.starts_with('@')) return from_abstract_name(text.substr(1));
        return from_path(text);
    }
    const std::size_t colon = text.rfind(':');
    std::uint16_t port = 0;
    if (colon == std::string_view::npos || !parse_number(text.substr(colon + 1), port))
        return failure(errc::invalid_endpoint);
    std::string_view address = text.substr(0, colon);
    const bool bracketed = address.starts_with('[') && address.ends_with(']');
    if (bracketed) address = address.substr(1, address.size() - 2);
    result<endpoint> made = from_address(address, port);
    // An IPv6 address without its brackets could end in the port or in a group of digits: refuse to guess.
    if (made && (made->family() == AF_INET6) != bracketed) return failure(errc::invalid_endpoint);
    return made;
}

std::uint16_t endpoint::port() const noexcept {
    if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
    if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
    return 0;
}

std::string_view endpoint::path() const noexcept {
    if (family() != AF_UNIX || length_ <= path_offset || storage_.local.sun_path[0] == '\0') return {};
    return {storage_.local.sun_path, strnlen(storage_.local.sun_path, length_ - path_offset)};
}

std::string endpoint::to_string() const {
    char text[INET6_ADDRSTRLEN];
    switch (family()) {
    case AF_INET: {
        const auto* four = reinterpret_cast<const sockaddr_in*>(&storage_);
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
        return std::string(text) + ':' + std::to_string(port());
    }
    case AF_INET6: {
        const auto* six = reinterpret_cast<const sockaddr_in6*>(&storage_);
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
        const std::string zone = six->sin6_scope_id == 0 ? "" : '%' + std::to_string(six->sin6_scope_id);
        return '[' + std::string(text) + zone + "]:" + std::to_string(port());
    }
    case AF_UNIX:
        if (length_ <= path_offset) return "unix:(unnamed)";
        if (storage_.local.sun_path[0] == '\0')
            return "unix:@" + std::string(storage_.local.sun_path + 1, length_ - path_offset - 1);
        return "unix:" + std::string(path());
    default: return "(no address)";
    }
}

bool operator==(const endpoint& left, const endpoint& right) noexcept {
    return left.length_ == right.length_ && std::memcmp(&left.storage_, &right.storage_, left.length_) == 0;
}

} // namespace chainring
