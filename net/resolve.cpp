#include <chainring/net/resolve.hpp>
#include <chainring/runtime/offload.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>

namespace chainring {

namespace {

class getaddrinfo_category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "resolver"; }

    std::string message(int value) const override {
        switch (static_cast<resolve_errc>(value)) {
        case resolve_errc::no_such_name: return "no such host is known; check the name";
        case resolve_errc::no_address: return "the host has no address";
        case resolve_errc::try_again: return "no name server answers; try again later";
        case resolve_errc::server_failed: return "a name server failed";
        case resolve_errc::unknown_service:
            return "not a service; expected a port from 0 to 65535 or the name of a TCP service";
        case resolve_errc::out_of_memory: break;
        }
        return ::gai_strerror(value);
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<resolve_errc>(value)) {
        case resolve_errc::try_again: return std::errc::resource_unavailable_try_again;
        case resolve_errc::unknown_service: return std::errc::invalid_argument;
        case resolve_errc::out_of_memory: return std::errc::not_enough_memory;
        default: return {value, *this};
        }
    }
};

bool is_number(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char each) { return each >= '0' && each <= '9'; });
}

// getaddrinfo takes 70000 for 4464, nothing for 0, and -1 for a port too.
bool may_be_service(std::string_view service) noexcept {
    if (service.empty() || service.find('\0') != std::string_view::npos) return false;
    if (!is_number(service))
        return std::ranges::any_of(
            service, [](char each) { return (each >= 'a' && each <= 'z') || (each >= 'A' && each <= 'Z'); });
    std::uint16_t port = 0;
    return std::from_chars(service.data(), service.data() + service.size(), port).ec == std::errc{};
}

std::vector<endpoint> without_duplicates(const addrinfo* found) {
    std::vector<endpoint> endpoints;
    for (; found != nullptr; found = found->ai_next) {
        const endpoint next = endpoint::from_native(found->ai_addr, found->ai_addrlen);
        if (std::ranges::find(endpoints, next) == endpoints.end()) endpoints.push_back(next);
    }
    return endpoints;
}

result<std::vector<endpoint>> look_up(const std::string& host, const std::string& service, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC; // IPv4 and IPv6
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* found = nullptr;
    const int returned = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found);
    if (returned != 0) return failure(from_getaddrinfo(returned, errno));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
    std::vector<endpoint> endpoints = without_duplicates(found);
    if (endpoints.empty()) return failure(make_error_code(resolve_errc::no_address));
    return endpoints;
}

} // namespace

const std::error_category& resolver_category() noexcept {
    static const getaddrinfo_category instance;
    return instance;
}

std::error_code make_error_code(resolve_errc condition) noexcept {
    return {static_cast<int>(condition), resolver_category()};
}

std::error_code from_getaddrinfo(int returned, int error) noexcept {
    if (returned == EAI_SYSTEM) return from_errno(error);
    return {returned, resolver_category()};
}

result<std::vector<endpoint>> look_up(const std::string& host, const std::string& service) {
    return look_up(host, service, 0);
}

task<result<std::vector<endpoint>>> resolve(std::string host, std::string service, resolve_options options) {
    if (host.empty() || host.find('\0') != std::string::npos) // C functions stop there
        co_return failure(make_error_code(resolve_errc::no_such_name));
    if (!may_be_service(service)) co_return failure(make_error_code(resolve_errc::unknown_service));
    // A service by name is looked up in a file, or worse: not on this thread.
    if (is_number(service)) {
        auto numeric = look_up(host, service, AI_NUMERICHOST | AI_NUMERICSERV);
        if (numeric) co_return numeric;
    }
    blocking_pool& pool = options.pool != nullptr ? *options.pool : default_blocking_pool();
    auto lookup = [&] { return options.lookup(host, service); };
    auto found = co_await offload(pool, std::move(lookup));
    co_return found;
}

} // namespace chainring
