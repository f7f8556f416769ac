// Boost.Asio coroutines that answer each request with its own bytes, by one awaited write for each.
#include "asio_server.hpp"
#include "command_line.hpp"
#include "requests.hpp"

#include <array>

namespace {

namespace asio = boost::asio;

peers::awaitable<> answer(peers::tcp_socket peer, std::size_t size, peers::counters& counted) {
    std::array<char, peers::buffer_size> buffer;
    requests received(size);
    for (;;) {
        const auto [error, count] = co_await peer.async_read_some(asio::buffer(buffer), peers::as_result);
        if (error) co_return;
        received.add({buffer.data(), count});
        for (std::string_view reply; !(reply = received.next()).empty();) {
            // What async_write does, without the cost of a composed operation.
            while (!reply.empty()) {
                const auto [failure, taken] =
                    co_await peer.async_write_some(asio::buffer(reply), peers::as_result);
                if (failure) co_return;
                reply.remove_prefix(taken);
            }
            counted.sent(size);
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t size = 64;
    command_line arguments("asio_replies: a server that answers each request by one write");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--size", size, "bytes of a request").between(1, 1 << 20);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    peers::counters counted;
    return peers::serve_tcp(
        "asio_replies", listen,
        [&counted, size](peers::tcp_socket peer) { return answer(std::move(peer), size, counted); }, counted);
}
