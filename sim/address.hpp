// A socket's address, as the system calls take it.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace chainring::sim {

class address {
  public:
    address() = default;          // none
    explicit address(int family); // of a socket that was not bound
    address(const sockaddr* given, socklen_t length);

    // An internet address without a port. Throws std::invalid_argument if that is no numeric one.
    static address of_host(const std::string& numeric);
    // An abstract name, as the kernel gives it to a unix socket that is bound to none.
    static address of_number(std::uint32_t number);

    int family() const noexcept { return length_ == 0 ? AF_UNSPEC : storage_.ss_family; }
    // What two sockets that mean the same have in common.
    std::string key() const;

    // Of an internet address.
    std::uint16_t port() const noexcept;
    address with_port(std::uint16_t port) const;
    address with_any_host() const;
    bool is_any_host() const { return key() == with_any_host().key(); }
    bool is_loopback() const noexcept;
    std::string to_string() const; // without its port
    std::string host_key() const { return with_port(0).key(); }

    // Of a unix socket.
    bool has_name() const noexcept;
    // Of a unix socket: its file, or "" if it has an abstract name or none.
    std::string path() const;

    // As getsockname(2) hands it out: cut to the room there is, with the length that it has.
    void copy_to(sockaddr* target, socklen_t& length) const;

  private:
    sockaddr_storage storage_{};
    socklen_t length_ = 0;
};

} // namespace chainring::sim
