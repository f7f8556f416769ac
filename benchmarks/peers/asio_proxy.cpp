// A TCP proxy with Boost.Asio coroutines: a coroutine and a buffer for each direction.
#include "asio_server.hpp"
#include "command_line.hpp"

#include <memory>
#include <vector>

namespace {

namespace asio = boost::asio;

using error_code = boost::system::error_code;

struct session {
    explicit session(peers::tcp_socket accepted)
        : client(std::move(accepted))
        , server(client.get_executor()) {}

    peers::tcp_socket client;
    peers::tcp_socket server;
};

class proxy {
  public:
    proxy(const sockaddr_in& upstream, std::size_t buffer_size)
        : upstream_(asio::ip::address_v4(ntohl(upstream.sin_addr.s_addr)), ntohs(upstream.sin_port))
        , buffer_size_(buffer_size) {}

    const peers::counters& counted() const { return counted_; }

    peers::awaitable<> serve(peers::tcp_socket accepted) {
        const auto both = std::make_shared<session>(std::move(accepted));
        const auto [error] = co_await both->server.async_connect(upstream_, peers::as_result);
        if (error) co_return;
        error_code ignored;
        both->server.set_option(asio::ip::tcp::no_delay(true), ignored);
        const auto run_on = both->client.get_executor();
        asio::co_spawn(run_on, relay(both, both->client, both->server), asio::detached);
        asio::co_spawn(run_on, relay(both, both->server, both->client), asio::detached);
    }

  private:
    peers::awaitable<> relay(std::shared_ptr<session> both, peers::tcp_socket& from, peers::tcp_socket& to) {
        std::vector<char> buffer(buffer_size_);
        error_code ignored;
        for (;;) {
            const auto [error, received] =
                co_await from.async_read_some(asio::buffer(buffer), peers::as_result);
            if (error == asio::error::eof) {
                to.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
                co_return; // the other direction may go on
            }
            if (error) break;
            std::size_t sent = 0;
            while (sent < received) {
                const auto [failure, taken] = co_await to.async_write_some(
                    asio::buffer(buffer.data() + sent, received - sent), peers::as_result);
                if (failure) break;
                sent += taken;
            }
            if (sent < received) break;
            counted_.sent(received);
        }
        both->client.close(ignored);
        both->server.close(ignored);
    }

    asio::ip::tcp::endpoint upstream_;
    std::size_t buffer_size_;
    peers::counters counted_;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::string connect = "127.0.0.1:7000";
    std::size_t buffer_size = 65536;
    command_line arguments("asio_proxy: a TCP proxy with Boost.Asio coroutines");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--connect", connect, "the server behind it, IPv4 address and port");
    arguments.option("--buffer", buffer_size, "bytes that one receive may yield").between(1, 1 << 24);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        proxy relaying(peers::parse_address(connect), buffer_size);
        return peers::serve_tcp(
            "asio_proxy", listen,
            [&relaying](peers::tcp_socket accepted) { return relaying.serve(std::move(accepted)); },
            relaying.counted());
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "asio_proxy: %s\n", failure.what());
        return 1;
    }
}
