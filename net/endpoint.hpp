// endpoint: where a socket listens or connects to. IPv4, IPv6, or a unix socket's path or abstract name.
//
// As text:  127.0.0.1:7000   [::1]:7000   [fe80::1%eth0]:7000   unix:/run/app.sock   unix:@name (abstract)
#pragma once

#include <chainring/runtime/error.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace chainring {

class endpoint {
  public:
    endpoint() noexcept = default; // family AF_UNSPEC

    // A numeric address, as in {"0.0.0.0", 7000} or {"::1", 7000}. Throws std::system_error
    // (errc::invalid_endpoint) for anything else: it is meant for addresses that stand in the source; text
    // from outside goes through `parse`.
    endpoint(std::string_view address, std::uint16_t port);

    // errors: errc::invalid_endpoint, errc::path_too_long. Names are not resolved.
    static result<endpoint> parse(std::string_view text);
    static result<endpoint> from_address(std::string_view address, std::uint16_t port);
    // The path is not touched; an abstract name may hold any bytes.
    static result<endpoint> from_path(std::string_view path);
    static result<endpoint> from_abstract_name(std::string_view name);
    static endpoint from_native(const sockaddr* address, socklen_t length) noexcept;

    int family() const noexcept { return storage_.any.sa_family; } // AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC
    std::uint16_t port() const noexcept;                           // 0 for unix sockets
    std::string_view path() const noexcept; // of a unix socket bound to a path; else empty

    const sockaddr* address() const noexcept { return &storage_.any; }
    socklen_t length() const noexcept { return length_; }

    // The form that `parse` reads.
    std::string to_string() const;

    friend bool operator==(const endpoint& left, const endpoint& right) noexcept;

  private:
    union storage {
        sockaddr_un local; // the largest, hence the first, which {} clears; a sockaddr_in6 fits in it too
        sockaddr any;
    };
    storage storage_{};
    socklen_t length_ = sizeof(sa_family_t);
};

} // namespace chainring
