// TCP: tcp_stream and tcp_listener.
#pragma once

#include <chainring/net/connect.hpp>
#include <chainring/net/listener.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace chainring {

class tcp_stream : public stream {
  public:
    using stream::stream;

    static connect_operation<tcp_stream>
    connect(const endpoint& to, const socket_options& options = {}) noexcept {
        return {to, options};
    }

    result<void> set_no_delay(bool on) noexcept { return set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
    result<void> set_keep_alive(bool on) noexcept { return set_option(SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0); }
};

using tcp_listener = listener<tcp_stream>;

} // namespace chainring
