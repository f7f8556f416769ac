// Boost.Asio coroutines over SEQPACKET: each record is answered with a burst, by one awaited send after another.
#include "asio_server.hpp"
#include "command_line.hpp"
#include "unix_listening.hpp"

#include <array>

namespace {

namespace asio = boost::asio;

using protocol = asio::generic::seq_packet_protocol;
using record_socket = asio::basic_seq_packet_socket<protocol, peers::executor>;

peers::awaitable<> answer(record_socket peer, unsigned burst, peers::counters& counted) {
    std::array<char, peers::buffer_size> buffer;
    for (;;) {
        asio::socket_base::message_flags flags = 0;
        const auto [error, received] =
            co_await peer.async_receive(asio::buffer(buffer), flags, peers::as_result);
        if (error || received == 0) co_return;
        for (unsigned place = 0; place < burst; ++place) {
            buffer[0] = static_cast<char>(place);
            const auto [failure, taken] =
                co_await peer.async_send(asio::buffer(buffer.data(), received), 0, peers::as_result);
            if (failure) co_return;
            counted.sent(taken);
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "unix:@asio-records";
    unsigned burst = 16;
    command_line arguments("asio_records: a SEQPACKET server that answers a record with a burst of them");
    arguments.option("--listen", listen, "an abstract unix name, as unix:@name");
    arguments.option("--burst", burst, "records of an answer").between(1, 256);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    peers::counters counted;
    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_for_records(listen);
        std::printf("listening on %s\n", listen.c_str());
        std::fflush(stdout);
        peers::serve(listener, protocol(AF_UNIX, 0), [&](record_socket peer) {
            return answer(std::move(peer), burst, counted);
        });
        std::printf("counters: messages=%llu bytes=%llu\n", counted.messages, counted.bytes);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "asio_records: %s\n", failure.what());
        return 1;
    }
}
