// Receives datagrams, counts them and throws them away. At its end it prints one line: datagrams as their senders sent them, their
// bytes, the receives that brought them, and how often the kernel had no room: for one datagram, or, with --gro, for all those that one
// receive would have brought.
//
// With --into it receives each into memory of its own, by a receive of its own: what that costs beside the multishot receive can be seen so.
//
//     build/samples/udp_sink --listen 127.0.0.1:7000 --gro
#include "command_line.hpp"
#include "datagram_server.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

namespace cr = chainring;

namespace {

constexpr std::size_t longest = 65535; // bytes of a datagram

struct counted {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;
    std::uint64_t receives = 0;
    std::uint64_t drops = 0;

    void add(const cr::datagram& got) { add(got.segments().count(), got.sent_size()); }
    void add(const cr::placed_datagram& got) { add(got.segments().count(), got.sent_size); }

  private:
    void add(std::size_t count, std::size_t size) {
        ++receives;
        datagrams += count;
        bytes += size;
    }
};

// `receive` begins the receive of the next one.
template <class Receive> cr::task<> receive_all(Receive receive, counted& total) {
    for (;;) {
        const auto got = co_await cr::until_shutdown(receive());
        if (got) total.add(*got);
        if (!got && got.error() == cr::errc::cancelled) break;
    }
    // What has arrived by now, and is still in the socket; whoever goes on sending is not waited for.
    const cr::time_point limit = cr::executor::current()->now() + std::chrono::seconds(1);
    while (cr::executor::current()->now() < limit) {
        const auto got = co_await cr::timeout(std::chrono::milliseconds(20), receive());
        if (!got) break;
        total.add(*got);
    }
}

cr::task<cr::result<void>> serve(cr::endpoint at, bool gro, bool into, counted& total) {
    cr::datagram_options options;
    options.gro = gro;
    options.socket.receive_buffer = 4 * 1024 * 1024;
    auto socket = co_await cr::try_(cr::udp_socket::bind(at, options));
    const auto local = co_await cr::try_(socket.local());
    say_where(local);
    if (into) {
        const auto memory = std::make_unique<std::byte[]>(longest);
        const auto receive = [&socket, &memory] { return socket.receive_into({memory.get(), longest}); };
        co_await receive_all(receive, total);
    } else {
        const auto receive = [&socket] { return socket.receive(); };
        co_await receive_all(receive, total);
    }
    total.drops = co_await cr::try_(socket.overflows());
    co_return cr::result<void>();
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7000";
    bool gro = false;
    bool into = false;
    command_line arguments("Receives UDP datagrams, counts them and throws them away");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7000 or [::1]:7000");
    arguments.flag("--gro", gro, "receive datagrams of one sender that come in a row as one");
    arguments.flag("--into", into, "receive each into memory of this program, by a receive of its own");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    counted total;
    const int status =
        serve_datagrams("udp_sink", listen, [&](cr::endpoint at) { return serve(at, gro, into, total); });
    if (status != 0) return status;
    std::printf(
        "datagrams=%llu bytes=%llu receives=%llu drops=%llu\n",
        static_cast<unsigned long long>(total.datagrams), static_cast<unsigned long long>(total.bytes),
        static_cast<unsigned long long>(total.receives), static_cast<unsigned long long>(total.drops));
    return 0;
}
