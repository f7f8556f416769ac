// Boost.Asio with C++20 coroutines, one thread, a buffer for each. Built twice: on epoll, and on
// io_uring.
#include "asio_server.hpp"
#include "command_line.hpp"

#include <memory>

namespace {

namespace asio = boost::asio;

peers::awaitable<> echo(peers::tcp_socket peer, std::size_t size, peers::counters& counted) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(size);
    for (;;) {
        const auto [error, received] =
            co_await peer.async_read_some(asio::buffer(buffer.get(), size), peers::as_result);
        if (error) co_return;
        counted.sent(received);
        for (std::size_t sent = 0; sent < received;) {
            const auto [failure, taken] = co_await peer.async_write_some(
                asio::buffer(buffer.get() + sent, received - sent), peers::as_result);
            if (failure) co_return;
            sent += taken;
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t buffer = peers::buffer_size;
    command_line arguments("asio_echo: the echo server with Boost.Asio coroutines");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--buffer", buffer, peers::buffer_option).between(1, peers::largest_buffer);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    peers::counters counted;
    return peers::serve_tcp(
        "asio_echo", listen,
        [&counted, buffer](peers::tcp_socket peer) { return echo(std::move(peer), buffer, counted); },
        counted);
}
