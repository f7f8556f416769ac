// TCP: tcp_stream and tcp_listener.
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/net/connect.hpp>
#include <chainring/net/happy_eyeballs.hpp>
#include <chainring/net/listener.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <concepts>
#include <string>
#include <string_view>

namespace chainring {

class tcp_stream : public stream {
  public:
    static constexpr socket_kind kind{.type = SOCK_STREAM, .internet = true};

    using stream::stream;

    static connect_operation<tcp_stream>
    connect(const endpoint& to, const socket_options& options = {}) noexcept {
        return {to, options};
    }

    // To a host by its name or its numeric address, and a port or the name of a service. The host's addresses
    // are tried as RFC 8305 has it (happy eyeballs), IPv4 and IPv6 in turn.
    //
    // completes when: the first connection is established and all other attempts have ended
    // errors:         those of resolve; if all attempts fail, that of the first which got as far as the network;
    //                 errc::cancelled
    // cancellation:   reaches the lookup and all attempts, and waits for them; a connection that was established
    //                 by then is the result
    // ownership:      the stream is the caller's; host, service and options are copied
    // thread:         the executor's
    //
    // Templates, so that {"127.0.0.1", 7000} is an endpoint and not the beginning of a string.
    template <std::convertible_to<std::string_view> Host, std::integral Port>
    static task<result<tcp_stream>>
    connect(const Host& host, Port port, const connect_options& options = {}) {
        return connect_to_host(std::string(std::string_view(host)), std::to_string(port), options);
    }
    template <std::convertible_to<std::string_view> Host, std::convertible_to<std::string_view> Service>
    static task<result<tcp_stream>>
    connect(const Host& host, const Service& service, const connect_options& options = {}) {
        return connect_to_host(
            std::string(std::string_view(host)), std::string(std::string_view(service)), options);
    }

    // A connected descriptor becomes a stream of this executor, whose thread must be the caller's (adopt.hpp).
    static result<tcp_stream> adopt(adoptable given, byte_spans received = {}) {
        return adopt_stream<tcp_stream>(given, received);
    }

    result<void> set_no_delay(bool on) noexcept { return set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
    result<void> set_keep_alive(bool on) noexcept { return set_option(SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0); }
};

using tcp_listener = listener<tcp_stream>;

} // namespace chainring
