// A TCP proxy. Try it:  build/samples/proxy --listen 127.0.0.1:7002 --connect 127.0.0.1:7000
//
// What one side sends goes to the other's queue in the buffers it came in: no byte is copied. A side that does not
// read fills its queue to the high-water mark, and then the other is not read from.
#include "command_line.hpp"
#include "counters.hpp"
#include "standard_output.hpp"

#include <chainring/chainring.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace cr = chainring;

namespace {

// A chunk in a queue is a block of the pool that all connections share. Large blocks, because a proxy pays for each
// one; enough of them, because a connection that finds none leaves its data in the socket, whose window then closes, and no more than
// caches hold. Where peers that do not read keep some, the pool grows.
constexpr cr::buffer_options blocks{.block_size = 64 * 1024, .blocks = 128};
constexpr cr::send_marks marks{.high_bytes = 64 * 1024, .low_bytes = 32 * 1024};

// A client takes two descriptors. One that could be accepted and not connected further would be lost; as it is, it waits.
unsigned most_clients() {
    constexpr rlim_t others = 16; // what the program itself has open
    rlimit descriptors{};
    getrlimit(RLIMIT_NOFILE, &descriptors);
    const rlim_t left = descriptors.rlim_cur > others ? descriptors.rlim_cur - others : 0;
    return static_cast<unsigned>(std::clamp<rlim_t>(left / 2, 1, 1'000'000));
}

// One direction: to the end of the stream, which is passed on.
cr::task<> relay(cr::tcp_stream& from, cr::tcp_stream& to) {
    for (;;) {
        auto chunk = co_await from.receive();
        if (!chunk) break;
        if (chunk->empty()) {
            (void)co_await to.shutdown();
            co_return; // the other direction may go on
        }
        const auto written = co_await to.write(std::move(*chunk));
        if (!written) break;
    }
    from.abort();
    to.abort();
}

cr::task<> session(cr::tcp_stream client, cr::endpoint upstream) {
    auto server = co_await cr::tcp_stream::connect(upstream);
    if (!server) {
        std::fprintf(
            stderr, "proxy: %s: %s\n", upstream.to_string().c_str(), server.error().message().c_str());
        client.abort();
        co_return;
    }
    client.set_send_marks(marks);
    server->set_send_marks(marks);
    co_await cr::scope([&](cr::task_group& directions) -> cr::task<> {
        directions.spawn(relay(client, *server));
        directions.spawn(relay(*server, client));
        co_return;
    });
}

cr::task<cr::result<void>> serve(cr::endpoint at, cr::endpoint upstream, unsigned clients) {
    cr::listen_options options;
    options.max_connections = clients;
    auto listener = co_await cr::try_(cr::tcp_listener::bind(at, options));
    const auto local = co_await cr::try_(listener.local());
    std::printf("listening on %s\n", local.to_string().c_str());
    std::fflush(stdout);
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            cr::tcp_stream client = co_await cr::try_(listener.accept());
            sessions.spawn(session(std::move(client), upstream));
        }
    });
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7002";
    std::string connect = "127.0.0.1:7000";
    unsigned clients = most_clients();
    command_line arguments("A TCP proxy on chainring");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7002");
    arguments.option("--connect", connect, "the server behind it, as 127.0.0.1:7000");
    arguments.option("--clients", clients, "clients served at a time; others wait").between(1, 1'000'000);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const auto at = cr::endpoint::parse(listen);
    const auto upstream = cr::endpoint::parse(connect);
    if (!at || !upstream) {
        const std::string& wrong = at ? connect : listen;
        const std::error_code reason = at ? upstream.error() : at.error();
        std::fprintf(stderr, "proxy: %s: %s\n", wrong.c_str(), reason.message().c_str());
        return 1;
    }
    try {
        cr::runtime_options options;
        options.executor.buffers = blocks;
        cr::runtime runtime(options);
        const cr::result<void> served = runtime.block_on(serve(*at, *upstream, clients));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "proxy: %s: %s\n", listen.c_str(), served.error().message().c_str());
            return 1;
        }
        print_counters(runtime.home().stats());
        return written_or_failed("proxy", 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "proxy: %s\n", error.what());
        return 1;
    }
}
