// Boost.Asio with C++20 coroutines, one thread. Built twice: on epoll, and on io_uring.
//
// Tuned the way its documentation allows: the concrete executor type instead of the type-erased
// any_io_executor, no strand, errors as values, a buffer in the coroutine's frame, one descriptor operation
// per co_await.
#include "command_line.hpp"
#include "listening.hpp"

#include <boost/asio.hpp>
#include <boost/asio/experimental/as_tuple.hpp>

#include <array>

namespace {

namespace asio = boost::asio;

using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<asio::ip::tcp, executor>;
using descriptor = asio::posix::basic_stream_descriptor<executor>;

constexpr auto as_result = asio::experimental::as_tuple(asio::use_awaitable_t<executor>{});

struct counters {
    unsigned long long messages = 0;
    unsigned long long bytes = 0;
};

asio::awaitable<void, executor> echo(tcp_socket peer, counters& counted) {
    std::array<char, peers::buffer_size> buffer;
    for (;;) {
        const auto [error, received] = co_await peer.async_read_some(asio::buffer(buffer), as_result);
        if (error) co_return;
        ++counted.messages;
        counted.bytes += received;
        for (std::size_t sent = 0; sent < received;) {
            const auto [failure, taken] = co_await peer.async_write_some(
                asio::buffer(buffer.data() + sent, received - sent), as_result);
            if (failure) co_return;
            sent += taken;
        }
    }
}

asio::awaitable<void, executor> serve(tcp_acceptor& acceptor, counters& counted) {
    for (;;) {
        auto [error, peer] =
            co_await acceptor.async_accept(asio::experimental::as_tuple(asio::use_awaitable_t<executor>{}));
        if (error) continue;
        asio::co_spawn(acceptor.get_executor(), echo(std::move(peer), counted), asio::detached);
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    command_line arguments("asio_echo: the echo server with Boost.Asio coroutines");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
        const int listener = peers::listen_on(listen);
        tcp_acceptor acceptor(context.get_executor(), asio::ip::tcp::v4(), listener);
        descriptor termination(context.get_executor(), peers::termination_descriptor());
        termination.async_wait(
            descriptor::wait_read, [&](const boost::system::error_code&) { context.stop(); });

        counters counted;
        asio::co_spawn(context.get_executor(), serve(acceptor, counted), asio::detached);
        peers::announce(listener);
        context.run();
        std::printf("counters: messages=%llu bytes=%llu\n", counted.messages, counted.bytes);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "asio_echo: %s\n", failure.what());
        return 1;
    }
}
