// A sink for datagrams with Boost.Asio coroutines: one receive for each datagram. At its end it prints the line that
// samples/udp_sink prints.
#include "asio_server.hpp"
#include "command_line.hpp"
#include "datagram_sink.hpp"

#include <array>

namespace {

namespace asio = boost::asio;

using udp_socket = asio::basic_datagram_socket<asio::ip::udp, peers::executor>;

peers::awaitable<> receive_all(udp_socket& from, peers::counters& counted) {
    std::array<char, peers::buffer_size> buffer;
    asio::ip::udp::endpoint sender;
    for (;;) {
        const auto [error, received] =
            co_await from.async_receive_from(asio::buffer(buffer), sender, peers::as_result);
        if (!error) counted.sent(received);
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    command_line arguments("asio_udp_sink: receives datagrams with Boost.Asio coroutines and counts them");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        const int bound = peers::bind_sink(listen);
        peers::announce(bound);

        peers::counters counted;
        asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
        udp_socket from(context.get_executor(), asio::ip::udp::v4(), bound);
        asio::posix::basic_stream_descriptor<peers::executor> termination(
            context.get_executor(), peers::termination_descriptor());
        termination.async_wait(
            termination.wait_read, [&](const boost::system::error_code&) { context.stop(); });
        asio::co_spawn(context.get_executor(), receive_all(from, counted), asio::detached);
        context.run();

        peers::print_received(bound, counted.messages, counted.bytes, counted.messages);
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "asio_udp_sink: %s\n", failure.what());
        return 1;
    }
}
