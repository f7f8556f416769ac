// Connections that change executors, and addresses that executors share.
#include "adopted.hpp"
#include "runtime/two_executors.hpp"

#include <atomic>
#include <set>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<result<std::string>> answer_to_the_second(Stream peer) {
    std::string got;
    while (got.size() < 6) { // "second"
        const buffer chunk = co_await try_(peer.receive());
        if (chunk.empty()) break;
        got += chunk.text();
    }
    co_await try_(peer.send("and after"sv));
    co_await try_(peer.close());
    co_return got;
}

} // namespace

CONNECTION_TEST_CASE("a_connection_goes_on_on_another_executor_with_what_was_received_and_not_taken") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        using stream_type = over_any::stream;
        auto pair = co_await connected_to_plain<over_any>();
        CHECK(pair.peer.send("first "));
        co_await expect(pair.stream, "first "); // the receive stays armed
        CHECK(pair.peer.send("second"));        // it comes to this executor
        co_await settle();
        must(co_await pair.stream.write("written before "s));
        auto moving = move_to(of.there, std::move(pair.stream), [&of](stream_type peer) {
            CHECK(executor::current() == &of.there);
            return answer_to_the_second(std::move(peer));
        });
        const result<std::string> got = co_await std::move(moving);
        CHECK(got == "second");
        const std::string heard = co_await read_plain_to_end(pair.peer);
        CHECK(heard == "written before and after");
    }(both));
    both.check_baselines();
}

TEST_CASE("what_could_not_be_sent_goes_along_and_is_sent_before_anything_else") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        const std::string much(400'000, 'x'); // more than a queue's high-water mark
        auto writing = pair.stream.write(much);
        auto limited = timeout(1ms, std::move(writing));
        (void)co_await std::move(limited);
        const std::size_t unsent = pair.stream.unsent();
        CHECK(unsent > 0);
        auto moving = move_to(
            of.there, std::move(pair.stream),
            [](tcp_stream peer) -> task<result<void>> {
                co_await try_(peer.write("end"sv));
                co_await try_(peer.flush());
                co_return co_await peer.close();
            },
            1ms);
        auto reading = read_plain_to_end(pair.peer);
        auto all = when_all(std::move(moving), std::move(reading));
        const auto [moved, heard] = co_await std::move(all);
        CHECK(moved.has_value());
        CHECK(heard.size() == much.size() + 3);
        CHECK(heard.ends_with("xxend"));
    }(both));
    both.check_baselines();
}

TEST_CASE("a_connection_that_cannot_move_tells_why_and_is_closed") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        of.there.refuse_work();
        auto moving = move_to(of.there, std::move(pair.stream), [](tcp_stream) -> task<> { co_return; });
        const result<void> moved = co_await std::move(moving);
        CHECK(moved == failure(errc::executor_ended));
        const std::string heard = co_await read_plain_to_end(pair.peer);
        CHECK(heard.empty());
        auto closed = move_to(of.here, tcp_stream(), [](tcp_stream) -> task<> { co_return; });
        const result<void> none = co_await std::move(closed);
        CHECK(none == failure(errc::closed));
    }(both));
    both.check_baselines();
}

namespace {

runtime_options of_three_executors() {
    runtime_options options;
    options.executor.buffers.blocks = 16;
    options.threads = 3;
    return options;
}

task<> echo_once(tcp_stream peer) {
    auto chunk = co_await peer.receive();
    if (chunk) (void)co_await peer.send(std::move(*chunk));
}

task<result<bool>> ping(endpoint at) {
    auto stream = co_await try_(tcp_stream::connect(at));
    co_await try_(stream.send("ping"sv));
    const buffer reply = co_await try_(stream.receive());
    co_return reply.text() == "ping";
}

} // namespace

TEST_CASE("a_listener_hands_its_connections_to_the_executors_in_turn", "[linux]") {
    runtime used(of_three_executors());
    std::mutex guard;
    std::multiset<unsigned> served_on;
    CHECK(used.run([](runtime& of, std::mutex& lock, auto& places) -> task<result<void>> {
        auto listener = co_await try_(tcp_listener::bind({"127.0.0.1", 0}));
        const endpoint at = co_await try_(listener.local());
        const auto serve_there = [&](tcp_stream peer) {
            const std::lock_guard held(lock);
            places.insert(this_executor().number());
            return echo_once(std::move(peer));
        };
        co_return co_await scope([&](task_group& group) -> task<result<void>> {
            for (unsigned number = 0; number < 30; ++number) {
                auto asking = group.start(ping(at));
                tcp_stream peer = co_await try_(listener.accept());
                group.spawn(move_to(of.at(number % 3), std::move(peer), serve_there));
                const bool answered = co_await try_(asking.outcome());
                CHECK(answered);
            }
            co_return result<void>();
        });
    }(used, guard, served_on)) == 0);
    for (unsigned number = 0; number < 3; ++number) CHECK(served_on.count(number) == 10);
}

TEST_CASE("executors_share_an_address", "[linux]") {
    const auto sharing = GENERATE(port_sharing::a_socket_each, port_sharing::one_socket);
    runtime used(of_three_executors());
    std::atomic<int> served = 0;
    constexpr int clients = 40;
    CHECK(used.run([](runtime& of, port_sharing how, std::atomic<int>& count) -> task<result<void>> {
        auto port = co_await try_(shared_port<tcp_stream>::open({"127.0.0.1", 0}, {}, how));
        chainring::latch listening(of.size());
        co_return co_await for_each_executor([&]() -> task<result<void>> {
            auto listener = co_await try_(port.listen());
            const endpoint at = co_await try_(listener.local());
            co_await try_(listening.arrive_and_wait());
            co_return co_await scope([&](task_group& sessions) -> task<result<void>> {
                if (this_executor().number() == 1)
                    sessions.spawn([](runtime& whole, endpoint to) -> task<result<void>> {
                        for (int number = 0; number < clients; ++number) (void)co_await try_(ping(to));
                        whole.begin_shutdown();
                        co_return result<void>();
                    }(of, at));
                for (;;) {
                    tcp_stream peer = co_await try_(listener.accept());
                    ++count;
                    sessions.spawn(echo_once(std::move(peer)));
                }
            });
        });
    }(used, sharing, served)) == 0);
    CHECK(served == clients);
}

TEST_CASE("an_address_that_is_in_use_cannot_be_shared", "[linux]") {
    runtime used(of_three_executors());
    const auto sharing = GENERATE(port_sharing::a_socket_each, port_sharing::one_socket);
    const result<void> opened = used.block_on([](port_sharing how) -> task<result<void>> {
        auto taken = co_await try_(tcp_listener::bind({"127.0.0.1", 0}));
        const endpoint at = co_await try_(taken.local());
        (void)co_await try_(shared_port<tcp_stream>::open(at, {}, how));
        co_return result<void>();
    }(sharing));
    CHECK(opened == failure(from_errno(EADDRINUSE)));
}
