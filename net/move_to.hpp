// move_to: a connection goes on on another executor, with what was received and not taken, and with what could not be sent yet.
//
//     auto serving = cr::move_to(least_busy(), std::move(peer), [](cr::tcp_stream there) { return serve(std::move(there)); });
//     const cr::result<void> served = co_await std::move(serving);
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/net/release.hpp>
#include <chainring/net/sender.hpp>
#include <chainring/runtime/spawn_on.hpp>
#include <chainring/runtime/try.hpp>

#include <concepts>
#include <limits>
#include <vector>

namespace chainring {

// Serves a connection when it is called with its stream.
template <class Serve, class Stream>
concept serves_stream = std::move_constructible<Serve> && std::invocable<Serve&, Stream> &&
                        detail::is_task<std::invoke_result_t<Serve&, Stream>>;

namespace detail {

template <class Serve, class Stream>
using served_outcome = as_result<typename std::invoke_result_t<Serve&, Stream>::value_type>;

// What is to go out before anything else. It waits for nobody: the peer may first want to be heard.
template <class Stream>
task<result<void>> write_all_of(Stream& to, std::vector<std::vector<std::byte>> unsent) {
    if (unsent.empty()) co_return result<void>();
    constexpr auto most = std::numeric_limits<std::uint32_t>::max();
    to.set_send_marks({.high_bytes = most, .low_bytes = most, .high_messages = most, .low_messages = most});
    for (std::vector<std::byte>& each : unsent) co_await try_(to.write(std::move(each)));
    to.set_send_marks({});
    co_return result<void>();
}

// On the executor that it goes to.
template <class Stream, class Serve>
task<served_outcome<Serve, Stream>> serve_moved(released_stream moved, Serve& serve) {
    std::vector<byte_span> received;
    for (const buffer& each : moved.received) received.push_back(each.bytes());
    result<Stream> adopted = Stream::adopt(std::move(moved.descriptor), received);
    if (!adopted) co_return failure(moved.error ? moved.error : adopted.error());
    moved.received.clear();
    co_await try_(write_all_of(*adopted, std::move(moved.unsent)));
    if constexpr (std::is_void_v<typename std::invoke_result_t<Serve&, Stream>::value_type>) {
        co_await serve(std::move(*adopted));
        co_return result<void>();
    } else {
        auto outcome = co_await serve(std::move(*adopted));
        co_return outcome;
    }
}

} // namespace detail

// The stream is released here, adopted there, and served there by the task `serve(stream)`. The peer notices nothing. Options of the
// socket stay; marks and the like, which are the stream's, are as those of a new one.
//
// completes when: that task has ended
// value:          what it has returned, as with spawn_on
// errors:         those of stream::release, stream::adopt and spawn_on; with the last two the connection is closed
// cancellation:   while the stream is being released: it waits no longer for what is to be sent, and the connection closes. Later it
//                 reaches the task
// ownership:      of the stream and of `serve`
// thread:         the executor's, on which the stream is; `serve` and its task run on that of the other one
template <class Stream, serves_stream<Stream> Serve>
task<detail::served_outcome<Serve, Stream>>
move_to(executor& there, Stream stream, Serve serve, duration limit = std::chrono::seconds(5)) {
    released_stream released = co_await try_(stream.release(limit));
    auto serving =
        spawn_on(there, [&] { return detail::serve_moved<Stream, Serve>(std::move(released), serve); });
    auto outcome = co_await std::move(serving);
    co_return outcome;
}

} // namespace chainring
