// Boost.Asio with callbacks on epoll: a connection belongs to the handler of what it waits for, and goes from one to the next.
#include "asio_server.hpp"
#include "command_line.hpp"

#include <memory>

namespace {

namespace asio = boost::asio;

using tcp_acceptor = peers::acceptor<asio::ip::tcp>;

struct connection {
    connection(peers::tcp_socket accepted, std::size_t buffer_size, peers::counters& counts)
        : socket(std::move(accepted))
        , counted(counts)
        , size(buffer_size)
        , buffer(std::make_unique_for_overwrite<char[]>(buffer_size)) {}

    peers::tcp_socket socket;
    peers::counters& counted;
    std::size_t size;
    std::unique_ptr<char[]> buffer;
};

void send(std::unique_ptr<connection> peer, std::size_t sent, std::size_t received);

void receive(std::unique_ptr<connection> peer) {
    connection& from = *peer; // which the handler owns by then
    from.socket.async_read_some(
        asio::buffer(from.buffer.get(), from.size),
        [peer = std::move(peer)](const boost::system::error_code& error, std::size_t received) mutable {
            if (error) return;
            peer->counted.sent(received);
            send(std::move(peer), 0, received);
        });
}

void send(std::unique_ptr<connection> peer, std::size_t sent, std::size_t received) {
    connection& to = *peer;
    to.socket.async_write_some(
        asio::buffer(to.buffer.get() + sent, received - sent),
        [peer = std::move(peer), sent,
         received](const boost::system::error_code& error, std::size_t taken) mutable {
            if (error) return;
            if (sent + taken < received)
                send(std::move(peer), sent + taken, received);
            else
                receive(std::move(peer));
        });
}

void accept_next(tcp_acceptor& from, std::size_t buffer, peers::counters& counted) {
    from.async_accept(
        [&from, buffer, &counted](const boost::system::error_code& error, peers::tcp_socket accepted) {
            if (!error) receive(std::make_unique<connection>(std::move(accepted), buffer, counted));
            accept_next(from, buffer, counted);
        });
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t buffer = peers::buffer_size;
    command_line arguments("asio_callbacks: the echo server with Boost.Asio callbacks");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--buffer", buffer, peers::buffer_option).between(1, peers::largest_buffer);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    peers::counters counted;
    const auto serve = [&counted, buffer](int listener) {
        peers::serve_until_terminated(
            listener, asio::ip::tcp::v4(), [&](tcp_acceptor& from) { accept_next(from, buffer, counted); });
    };
    return peers::tcp_program("asio_callbacks", listen, serve, counted);
}
