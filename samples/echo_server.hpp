// The echo server of `echo` and of the samples that embed it in another loop.
#pragma once

#include "command_line.hpp"

#include <chainring/chainring.hpp>

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>

// What waits in the queue goes out before the stream closes, however slowly the peer reads. A task of its own, so that an idle
// connection has no memory for it.
template <class Stream> chainring::task<> send_the_rest(Stream& to) {
    (void)co_await chainring::until_shutdown(to.flush());
}

template <class Stream> chainring::task<> echo(Stream peer) {
    while (auto chunk = co_await chainring::until_shutdown(peer.receive())) {
        if (chunk->empty()) break;                                   // end of stream
        const auto written = co_await peer.write(std::move(*chunk)); // the next chunk is received meanwhile
        if (!written) break;
    }
    co_await send_the_rest(peer);
}

inline void say_where(const std::string& listening) {
    std::printf("listening on %s\n", listening.c_str());
    std::fflush(stdout);
}

template <class Stream> chainring::task<chainring::result<void>> serve(chainring::endpoint at) {
    auto listener = co_await chainring::try_(chainring::listener<Stream>::bind(at));
    const auto local = co_await chainring::try_(listener.local());
    say_where(local.to_string());
    auto connections = listener.connections();
    co_return co_await chainring::scope(
        [&](chainring::task_group& sessions) -> chainring::task<chainring::result<void>> {
            for (;;) {
                Stream peer = co_await chainring::try_(connections.next());
                sessions.spawn(echo(std::move(peer)));
            }
        });
}

inline chainring::task<chainring::result<void>> serve_any(chainring::endpoint at) {
    return at.family() == AF_UNIX ? serve<chainring::unix_stream>(at) : serve<chainring::tcp_stream>(at);
}

// The same on each executor of the runtime: `ended` is called there when its connections have ended.
template <class Stream>
chainring::task<chainring::result<void>>
serve_on_each(chainring::endpoint at, std::function<void(const chainring::statistics&)> ended) {
    const auto port = co_await chainring::try_(chainring::shared_port<Stream>::open(at));
    chainring::latch listening(chainring::this_runtime().size());
    const auto serve_here = [&]() -> chainring::task<chainring::result<void>> {
        auto listener = co_await chainring::try_(port.listen());
        co_await chainring::try_(listening.arrive_and_wait());
        if (chainring::this_executor().number() == 0) say_where(port.local().to_string());
        auto connections = listener.connections();
        const auto served = co_await chainring::scope(
            [&](chainring::task_group& sessions) -> chainring::task<chainring::result<void>> {
                for (;;) {
                    Stream peer = co_await chainring::try_(connections.next());
                    sessions.spawn(echo(std::move(peer)));
                }
            });
        ended(chainring::this_executor().stats());
        co_return served;
    };
    co_return co_await chainring::for_each_executor(serve_here);
}

inline chainring::task<chainring::result<void>>
serve_any_on_each(chainring::endpoint at, std::function<void(const chainring::statistics&)> ended) {
    return at.family() == AF_UNIX ? serve_on_each<chainring::unix_stream>(at, std::move(ended))
                                  : serve_on_each<chainring::tcp_stream>(at, std::move(ended));
}

struct echo_options {
    chainring::endpoint listen;
    chainring::executor_options executor;
};

// The options, or the status to exit with. `more(arguments)` adds those that are the sample's own.
template <class More = decltype([](command_line&) {})>
std::expected<echo_options, int>
parse_echo_options(const char* name, const char* purpose, int argc, char** argv, More more = {}) {
    std::string listen = "127.0.0.1:7000";
    std::string mode = "throughput";
    command_line arguments(purpose);
    arguments.option(
        "--listen", listen, "where to listen, as 127.0.0.1:7000, [::1]:7000, unix:/path or unix:@name");
    arguments.option("--mode", mode, "throughput: big batches; latency: completions at once")
        .one_of({"throughput", "latency"});
    more(arguments);
    if (const auto status = arguments.parse(argc, argv)) return std::unexpected(*status);

    const auto at = chainring::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "%s: %s: %s\n", name, listen.c_str(), at.error().message().c_str());
        return std::unexpected(1);
    }
    echo_options options{.listen = *at, .executor = {}};
    if (mode == "latency") options.executor.ring.mode = chainring::task_work_mode::latency;
    return options;
}
