// What the Boost.Asio contestants have in common.
//
// Tuned the way Asio's documentation allows: the concrete executor type instead of the type-erased
// any_io_executor, no strand, errors as values, one descriptor operation per co_await.
#pragma once

#include "listening.hpp"

#include <boost/asio.hpp>
#include <boost/asio/experimental/as_tuple.hpp>

namespace peers {

namespace asio = boost::asio;

using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
template <class Value = void> using awaitable = asio::awaitable<Value, executor>;

inline constexpr auto as_result = asio::experimental::as_tuple(asio::use_awaitable_t<executor>{});

struct counters {
    unsigned long long messages = 0;
    unsigned long long bytes = 0;

    void sent(std::size_t size) {
        ++messages;
        bytes += size;
    }
};

template <class Acceptor, class Session> awaitable<> accept_each(Acceptor& acceptor, Session session) {
    for (;;) {
        auto [error, peer] = co_await acceptor.async_accept(as_result);
        if (error) continue;
        asio::co_spawn(acceptor.get_executor(), session(std::move(peer)), asio::detached);
    }
}

template <class Protocol> using acceptor = asio::basic_socket_acceptor<Protocol, executor>;

// `begin` sets an acceptor to work, which goes on until SIGTERM.
template <class Protocol, class Begin>
void serve_until_terminated(int listener, Protocol protocol, Begin begin) {
    using descriptor = asio::posix::basic_stream_descriptor<executor>;
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    acceptor<Protocol> accepting(context.get_executor(), protocol, listener);
    descriptor termination(context.get_executor(), termination_descriptor());
    termination.async_wait(descriptor::wait_read, [&](const boost::system::error_code&) { context.stop(); });
    begin(accepting);
    context.run();
}

// Serves each connection with `session`, which makes an awaitable of a socket, until SIGTERM.
template <class Protocol, class Session> void serve(int listener, Protocol protocol, Session session) {
    serve_until_terminated(listener, protocol, [&session](acceptor<Protocol>& accepting) {
        asio::co_spawn(accepting.get_executor(), accept_each(accepting, std::move(session)), asio::detached);
    });
}

// The whole of a program that listens on TCP, with `serve(listener)` in it. The value is main's.
template <class Serve>
int tcp_program(const char* program, const std::string& listen, Serve serve, const counters& counted) {
    try {
        raise_descriptor_limit();
        const int listener = listen_on(listen);
        announce(listener);
        serve(listener);
        std::printf("counters: messages=%llu bytes=%llu\n", counted.messages, counted.bytes);
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s: %s\n", program, failure.what());
        return 1;
    }
}

template <class Session>
int serve_tcp(const char* program, const std::string& listen, Session session, const counters& counted) {
    const auto serve_each = [&](int listener) { serve(listener, asio::ip::tcp::v4(), std::move(session)); };
    return tcp_program(program, listen, serve_each, counted);
}

} // namespace peers
