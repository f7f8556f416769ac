// A TCP (or unix) echo server. Try it:  build/samples/echo --listen 127.0.0.1:7000
#include "command_line.hpp"
#include "counters.hpp"
#include "standard_output.hpp"

#include <chainring/chainring.hpp>

#include <cstdio>
#include <string>
#include <utility>

namespace cr = chainring;

namespace {

template <class Stream> cr::task<> echo(Stream peer) {
    while (auto chunk = co_await cr::until_shutdown(peer.receive())) {
        if (chunk->empty()) break; // end of stream
        const auto sent = co_await peer.send(std::move(*chunk));
        if (!sent) break;
    }
}

template <class Stream> cr::task<cr::result<void>> serve(cr::endpoint at) {
    auto listener = co_await cr::try_(cr::listener<Stream>::bind(at));
    const auto local = co_await cr::try_(listener.local());
    std::printf("listening on %s\n", local.to_string().c_str());
    std::fflush(stdout);
    auto connections = listener.connections();
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            Stream peer = co_await cr::try_(connections.next());
            sessions.spawn(echo(std::move(peer)));
        }
    });
}

cr::task<cr::result<void>> serve_any(cr::endpoint at) {
    return at.family() == AF_UNIX ? serve<cr::unix_stream>(at) : serve<cr::tcp_stream>(at);
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7000";
    std::string mode = "throughput";
    command_line arguments("A TCP or unix echo server on chainring");
    arguments.option(
        "--listen", listen, "where to listen, as 127.0.0.1:7000, [::1]:7000, unix:/path or unix:@name");
    arguments.option("--mode", mode, "throughput: big batches; latency: completions at once")
        .one_of({"throughput", "latency"});
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const auto at = cr::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "echo: %s: %s\n", listen.c_str(), at.error().message().c_str());
        return 1;
    }
    try {
        cr::runtime_options options;
        if (mode == "latency") options.executor.ring.mode = cr::task_work_mode::latency;
        cr::runtime runtime(options);
        const cr::result<void> served = runtime.block_on(serve_any(*at));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "echo: %s: %s\n", listen.c_str(), served.error().message().c_str());
            return 1;
        }
        print_counters(runtime.home().stats());
        return written_or_failed("echo", 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo: %s\n", error.what());
        return 1;
    }
}
