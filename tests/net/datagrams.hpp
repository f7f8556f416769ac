// The kinds of datagrams, and plain sockets at their other end.
#pragma once

#include "sockets.hpp"

#include <sys/stat.h>

namespace chainring::test {

struct over_udp {
    using socket = udp_socket;
    static endpoint somewhere() { return {"127.0.0.1", 0}; }
};
struct over_unix_datagrams {
    using socket = unix_datagram;
    static endpoint somewhere() { return endpoint::from_abstract_name(unique_name()).value(); }
};

// A plain socket that takes datagrams from anybody.
class plain_receiver {
  public:
    explicit plain_receiver(const endpoint& at)
        : socket_(calls::socket(at.family(), SOCK_DGRAM)) {
        calls::must(calls::bind(socket_.get(), at), "bind");
    }
    endpoint local() const { return socket_.local(); }
    void answer(const endpoint& to, std::string_view text) const {
        const ssize_t sent =
            ::sendto(socket_.get(), text.data(), text.size(), MSG_DONTWAIT, to.address(), to.length());
        CHECK(sent == static_cast<ssize_t>(text.size()));
    }
    // The next one; none: nullopt.
    std::optional<std::string> next() const {
        std::string bytes(65'536, '\0');
        const ssize_t got = calls::receive(socket_.get(), bytes.data(), bytes.size());
        if (got < 0) return {};
        bytes.resize(static_cast<std::size_t>(got));
        return bytes;
    }

  private:
    plain_socket socket_;
};

// A pipe's writing end is another descriptor of the same file.
inline bool is_same_file(int one, int other) {
    struct stat first{};
    struct stat second{};
    return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_ino == second.st_ino;
}

#define EACH_KIND chainring::test::over_udp, chainring::test::over_unix_datagrams

} // namespace chainring::test
