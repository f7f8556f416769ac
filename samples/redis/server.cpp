#include "server.hpp"

#include <chrono>
#include <utility>

namespace redis {

namespace {

// Keys whose time has come and that nobody asks for go so often, and at most so many at a time: sooner where there are more, but
// clients come in between.
constexpr auto sweep_pause = std::chrono::milliseconds(100);
constexpr auto pause_with_more = std::chrono::milliseconds(1);
constexpr std::size_t most_swept = 1000;

chainring::task<> sweep(store& keys) {
    for (;;) {
        const bool more = keys.remove_ended(most_swept) == most_swept;
        const auto pause = more ? pause_with_more : sweep_pause;
        const auto slept = co_await chainring::until_shutdown(chainring::sleep(pause));
        if (!slept) co_return;
    }
}

chainring::task<>
serve_client(chainring::stream client, const shards& all, std::size_t here, const session_options& options) {
    session whole(std::move(client), all, here, options);
    co_await whole.serve();
}

template <class Stream>
chainring::task<chainring::result<void>> serve_clients(
    chainring::listener<Stream> listener, const shards& all, std::size_t here,
    const server_options& options) {
    auto connections = listener.connections();
    const auto served = co_await chainring::scope(
        [&](chainring::task_group& sessions) -> chainring::task<chainring::result<void>> {
            sessions.spawn(sweep(all.at(here).its->keys));
            for (;;) {
                Stream client = co_await chainring::try_(connections.next());
                sessions.spawn(serve_client(std::move(client), all, here, options.sessions));
            }
        });
    if (options.ended) options.ended();
    co_return served;
}

template <class Stream>
chainring::task<chainring::result<void>> serve_on_each_by(const server_options& options) {
    const auto port = co_await chainring::try_(chainring::shared_port<Stream>::open(options.listen));
    auto own = co_await chainring::try_(chainring::per_executor<shard>::make([] { return shard(); }));
    shards all(chainring::this_runtime().size());
    // Nobody is served before all shards are known.
    chainring::latch ready(chainring::this_runtime().size());
    const auto serve_here = [&]() -> chainring::task<chainring::result<void>> {
        const unsigned here = chainring::this_executor().number();
        all.set(here, {&chainring::this_executor(), &own.local()});
        auto listener = co_await chainring::try_(port.listen());
        co_await chainring::try_(ready.arrive_and_wait());
        if (here == 0 && options.listening) options.listening(port.local());
        co_return co_await serve_clients<Stream>(std::move(listener), all, here, options);
    };
    co_return co_await chainring::for_each_executor(serve_here);
}

} // namespace

chainring::task<chainring::result<void>> serve_on_each(server_options options) {
    if (options.listen.family() == AF_UNIX)
        co_return co_await serve_on_each_by<chainring::unix_stream>(options);
    co_return co_await serve_on_each_by<chainring::tcp_stream>(options);
}

} // namespace redis
