// Receives datagrams, counts them and throws them away. At its end it prints one line: datagrams as their senders sent them, their
// bytes, the receives that brought them, and how often the kernel had no room: for one datagram, or, with --gro, for all those that one
// receive would have brought.
//
//     build/samples/udp_sink --listen 127.0.0.1:7000 --gro
#include "command_line.hpp"
#include "datagram_server.hpp"

#include <chrono>
#include <cstdint>

namespace cr = chainring;

namespace {

struct counted {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;
    std::uint64_t receives = 0;
    std::uint64_t drops = 0;

    void add(const cr::datagram& got) {
        ++receives;
        datagrams += got.segments().count();
        bytes += got.sent_size();
    }
};

cr::task<cr::result<void>> receive_all(cr::endpoint at, bool gro, counted& total) {
    cr::datagram_options options;
    options.gro = gro;
    options.socket.receive_buffer = 4 * 1024 * 1024;
    auto socket = co_await cr::try_(cr::udp_socket::bind(at, options));
    const auto local = co_await cr::try_(socket.local());
    say_where(local);
    for (;;) {
        const auto got = co_await cr::until_shutdown(socket.receive());
        if (got) total.add(*got);
        if (!got && got.error() == cr::errc::cancelled) break;
    }
    // What has arrived by now, and is still in the socket; whoever goes on sending is not waited for.
    const cr::time_point limit = cr::executor::current()->now() + std::chrono::seconds(1);
    while (cr::executor::current()->now() < limit) {
        const auto got = co_await cr::timeout(std::chrono::milliseconds(20), socket.receive());
        if (!got) break;
        total.add(*got);
    }
    total.drops = co_await cr::try_(socket.overflows());
    co_return cr::result<void>();
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7000";
    bool gro = false;
    command_line arguments("Receives UDP datagrams, counts them and throws them away");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7000 or [::1]:7000");
    arguments.flag("--gro", gro, "receive datagrams of one sender that come in a row as one");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    counted total;
    const int status =
        serve_datagrams("udp_sink", listen, [&](cr::endpoint at) { return receive_all(at, gro, total); });
    if (status != 0) return status;
    std::printf(
        "datagrams=%llu bytes=%llu receives=%llu drops=%llu\n",
        static_cast<unsigned long long>(total.datagrams), static_cast<unsigned long long>(total.bytes),
        static_cast<unsigned long long>(total.receives), static_cast<unsigned long long>(total.drops));
    return 0;
}
