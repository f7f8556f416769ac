// A task may be destroyed wherever it is suspended. Each operation is destroyed at three moments: before the
// kernel has seen it, while it is in flight, and when its completion was reaped but its coroutine not yet
// resumed. Afterwards nothing is left of it, and the kernel no longer touches the memory it was given.
#include "sockets.hpp"

#include <semaphore>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

enum class moment { before_submission, in_flight, completed };

// Starts `victim`, lets `provoke` complete it if that is the moment, and destroys it. It must not have run to
// its end.
template <class Provoke> task<> destroy_at(moment when, task<> victim, Provoke provoke) {
    executor& home = *executor::current();
    cancel_scope& here = co_await this_scope{};
    task_group group(here);
    bool ended = false;
    const auto watched = [](task<> inner, bool& over) -> task<> {
        co_await std::move(inner);
        over = true;
    };
    group.spawn(watched(std::move(victim), ended));
    co_await pass(); // it runs up to its operation
    if (when != moment::before_submission) co_await settle();
    if (when == moment::completed) {
        provoke();
        co_await until_at_turn_begin([&] { return !home.ready().empty(); });
    }
    CHECK_FALSE(ended);
}

auto each_moment() {
    return Catch::Generators::values({moment::before_submission, moment::in_flight, moment::completed});
}

const auto no_event = [] {};

std::span<std::byte> bytes_of(std::string& text) {
    return std::as_writable_bytes(std::span(text.data(), text.size()));
}

template <class Stream> task<> receive_some(Stream& from) {
    (void)co_await from.receive();
}

template <class Stream> task<> send_borrowed(Stream& to, const std::string& text) {
    (void)co_await to.send(text);
}

template <class Stream> task<> send_text(Stream& to, std::string text) {
    (void)co_await to.send(text);
}

template <class Stream> task<> send_owned(Stream& to, const std::string& text) {
    const byte_span bytes = std::as_bytes(std::span(text));
    (void)co_await to.send(std::vector<std::byte>(bytes.begin(), bytes.end()));
}

template <class Stream> task<> send_lease(Stream& to, buffer lease) {
    (void)co_await to.send(std::move(lease));
}

// A lease that holds `text`, received from the peer.
template <class Over> task<buffer> lease_of(stream_and_peer<Over>& pair, std::string_view text) {
    CHECK(pair.peer.send(text));
    buffer lease = must(co_await pair.stream.receive());
    CHECK(lease.text() == text);
    co_return std::move(lease);
}

} // namespace

TRANSPORT_TEST_CASE("destroying_an_accept_closes_what_it_accepted") {
    const moment when = GENERATE(each_moment());
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        const endpoint at = must(listener.local());
        plain_socket client;
        const auto accept = [](auto& from) -> task<> { (void)co_await from.accept(); };
        co_await destroy_at(when, accept(listener), [&] { client = plain_socket::connected_to(at); });
        if (client.open()) {
            const std::string nothing_came = co_await read_plain_to_end(client);
            CHECK(nothing_came.empty());
        }
        // The listener lives on.
        const plain_socket next = plain_socket::connected_to(at);
        auto accepted = must(co_await listener.accept());
        CHECK(next.send("served"));
        co_await expect(accepted, "served");
    });
}

TEST_CASE("destroying_a_connect_in_flight_closes_its_socket", "[linux]") {
    const moment when = GENERATE(moment::before_submission, moment::in_flight);
    const plain_socket listener = plain_socket::listening({"127.0.0.1", 0}, 0);
    const plain_socket first = plain_socket::connected_to(listener.local()); // the backlog is full now
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        const auto connect = [](endpoint to) -> task<> { (void)co_await tcp_stream::connect(to); };
        co_await destroy_at(when, connect(listener.local()), no_event);
    });
}

TRANSPORT_TEST_CASE("destroying_a_connect_that_has_succeeded_closes_the_connection") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        executor& home = *executor::current();
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            bool resumed = false;
            group.spawn([](endpoint to, bool& over) -> task<> {
                (void)co_await over_any::stream::connect(to);
                over = true;
            }(must(listener.local()), resumed));
            co_await pass();
            co_await until_at_turn_begin([&] { return !home.ready().empty(); });
            CHECK_FALSE(resumed);
        }
        auto accepted = must(co_await listener.accept());
        const std::string nothing_came = co_await receive_to_end(accepted);
        CHECK(nothing_came.empty());
    });
}

TEST_CASE("destroying_a_connect_to_a_host_closes_the_sockets_of_all_its_attempts", "[linux]") {
    const moment when = GENERATE(moment::before_submission, moment::in_flight);
    const bool waits_between = GENERATE(true, false);
    const plain_socket listener = plain_socket::listening({"127.0.0.1", 0}, 0);
    const plain_socket first = plain_socket::connected_to(listener.local()); // the backlog is full now
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        const auto connect = [](endpoint to, duration delay) -> task<> {
            std::vector<endpoint> three(3, to);
            (void)co_await connect_to_first(std::move(three), {}, delay);
        };
        co_await destroy_at(when, connect(listener.local(), waits_between ? 24h : 0h), no_event);
        if (when == moment::in_flight)
            CHECK(executor::current()->stats().descriptors_opened == (waits_between ? 1 : 3));
    });
}

TEST_CASE("destroying_a_lookup_that_runs_waits_for_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::binary_semaphore running(0);
        std::binary_semaphore may_end(0);
        bool ended = false;
        resolve_options options;
        options.lookup = [&](const std::string&, const std::string&) -> result<std::vector<endpoint>> {
            running.release();
            may_end.acquire();
            ended = true;
            return failure(make_error_code(resolve_errc::try_again));
        };
        std::thread letting_it_end;
        bool resumed = false;
        const auto look_up = [&]() -> task<> {
            (void)co_await resolve("server.test", "80", options);
            resumed = true;
        };
        {
            task_group victims(co_await this_scope{});
            victims.spawn(look_up());
            co_await pass();
            running.acquire();
            letting_it_end = std::thread([&] { may_end.release(); });
        }
        CHECK_FALSE(resumed);
        letting_it_end.join();
        CHECK(ended);
    });
}

TRANSPORT_TEST_CASE("destroying_a_receive_keeps_the_bytes_for_the_next_one") {
    const moment when = GENERATE(each_moment());
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        co_await destroy_at(when, receive_some(pair.stream), [&] { CHECK(pair.peer.send("kept ")); });
        CHECK(pair.peer.send("later"));
        co_await expect(pair.stream, when == moment::completed ? "kept later" : "later");
    });
}

TRANSPORT_TEST_CASE("the_memory_of_a_destroyed_receive_is_not_written_to") {
    const moment when = GENERATE(each_moment());
    const bool copies = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        if (copies) {
            CHECK(pair.peer.send("armed"));
            co_await expect(pair.stream, "armed");
        }
        std::string target(1000, '#');
        const auto receive = [](auto& from, std::string& into) -> task<> {
            // The memory that address sanitizer watches; the one that the test watches is beside it.
            std::string dying(1000, '#');
            (void)co_await from.receive_into(bytes_of(into));
            (void)co_await from.receive_into(bytes_of(dying));
        };
        co_await destroy_at(when, receive(pair.stream, target), [&] { CHECK(pair.peer.send("provoked")); });
        std::ranges::fill(target, '#');
        CHECK(pair.peer.send("later"));
        // What was copied was not yet; what came straight into the memory died with it.
        co_await expect(pair.stream, copies && when == moment::completed ? "provokedlater" : "later");
        CHECK((target == std::string(1000, '#')));
    });
}

TRANSPORT_TEST_CASE("a_destroyed_send_of_borrowed_bytes_sends_nothing_afterwards") {
    const moment when = GENERATE(each_moment());
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::size_t filled = co_await congest(pair);
        std::string text(1000, 'm');
        std::string wire;
        co_await destroy_at(when, send_borrowed(pair.stream, text), [&] { wire = pair.peer.read_now(); });
        std::ranges::fill(text, 'X'); // must not be seen
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, "behind"));
            const std::size_t size = filled + 6 + (when == moment::completed ? 1000 : 0) - wire.size();
            wire += co_await read_plain(pair.peer, size);
        });
        CHECK(
            (wire ==
             std::string(filled, '.') + std::string(when == moment::completed ? 1000 : 0, 'm') + "behind"));
    });
}

TRANSPORT_TEST_CASE("a_send_destroyed_half_way_ends_the_stream") {
    const std::size_t size = GENERATE(100'000u, 1'000'000u); // within one batch, and longer than one
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        std::string text(size, 'm');
        co_await destroy_at(moment::in_flight, send_borrowed(pair.stream, text), no_event);
        std::ranges::fill(text, 'X');
        const auto late = co_await pair.stream.send("late");
        CHECK(error_of(late) == errc::broken);
        const std::string wire = co_await read_plain_to_end(pair.peer); // the peer sees the end
        CHECK(!wire.empty());
        CHECK((wire == std::string(wire.size(), 'm')));
    });
}

TRANSPORT_TEST_CASE("a_long_send_destroyed_between_two_batches_ends_the_stream") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        executor& home = *executor::current();
        std::string text;
        text.resize(10'000'000, 'm');
        std::string wire;
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn(send_borrowed(pair.stream, text));
            co_await until([&] {
                const bool between = home.stats().bytes_sent > 0 && home.stats().operations_in_flight == 0;
                if (!between) wire += pair.peer.read_now();
                return between;
            });
        }
        std::ranges::fill(text, 'X');
        const auto late = co_await pair.stream.send("late");
        CHECK(error_of(late) == errc::broken);
        wire += co_await read_plain_to_end(pair.peer);
        CHECK((wire == std::string(wire.size(), 'm')));
    });
}

TRANSPORT_TEST_CASE("a_lease_that_was_not_sent_goes_home_with_its_sender") {
    const moment when = GENERATE(each_moment());
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        buffer lease = co_await lease_of(pair, "leased");
        const std::size_t filled = co_await congest(pair);
        std::string wire;
        co_await destroy_at(
            when, send_lease(pair.stream, std::move(lease)), [&] { wire = pair.peer.read_now(); });
        const bool sent = when == moment::completed;
        CHECK(executor::current()->stats().buffers_leased == 0);
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, "behind"));
            wire += co_await read_plain(pair.peer, filled + 6 + (sent ? 6 : 0) - wire.size());
        });
        CHECK((wire == std::string(filled, '.') + (sent ? "leased" : "") + "behind"));
    });
}

TRANSPORT_TEST_CASE(
    "what_was_sent_in_part_and_owns_its_bytes_is_sent_to_its_end_though_its_sender_has_died") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::string large = random_text(1'000'000, 1);
        co_await destroy_at(moment::in_flight, send_owned(pair.stream, large), no_event);
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, "behind"));
            wire = co_await read_plain(pair.peer, large.size() + 6);
        });
        CHECK((wire == large + "behind"));
    });
}

TRANSPORT_TEST_CASE("a_lease_that_was_cancelled_is_not_sent_when_its_sender_has_died") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        buffer lease = co_await lease_of(pair, "leased");
        const std::size_t filled = co_await congest(pair);
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn(send_lease(pair.stream, std::move(lease)));
            co_await settle();
            group.cancel();
        } // destroyed before the kernel has answered
        co_await settle();
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, "behind"));
            wire = co_await read_plain(pair.peer, filled + 6);
        });
        CHECK((wire == std::string(filled, '.') + "behind"));
    });
}

TRANSPORT_TEST_CASE("a_message_that_waits_behind_another_is_withdrawn_with_its_sender") {
    const bool leased = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::string large = random_text(100'000, 1);
        const std::string unwanted = "unwanted";
        buffer lease;
        if (leased) lease = co_await lease_of(pair, unwanted);
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_borrowed(pair.stream, large));
            co_await settle();
            task<> victim =
                leased ? send_lease(pair.stream, std::move(lease)) : send_borrowed(pair.stream, unwanted);
            co_await destroy_at(moment::in_flight, std::move(victim), no_event);
            group.spawn(send_text(pair.stream, "behind"));
            wire = co_await read_plain(pair.peer, large.size() + 6);
        });
        CHECK((wire == large + "behind"));
    });
}

TRANSPORT_TEST_CASE("destroying_a_half_close_or_a_close_leaves_the_messages_of_others_alone") {
    const bool closes = GENERATE(true, false);
    const bool same_batch = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::string large = random_text(100'000, 1);
        std::string wire;
        bool sent = false;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, const std::string& text, bool& done) -> task<> {
                co_await send_all(to, text);
                done = true;
            }(pair.stream, large, sent));
            if (!same_batch) co_await settle();
            const auto end = [](auto& ending, bool close) -> task<> {
                if (close)
                    (void)co_await ending.close();
                else
                    (void)co_await ending.shutdown();
            };
            co_await destroy_at(moment::in_flight, end(pair.stream, closes), no_event);
            wire = co_await read_plain(pair.peer, large.size());
        });
        CHECK(sent);
        CHECK((wire == large));
        CHECK(pair.stream.is_open() != closes); // a close that has begun goes on
        if (!closes) co_await send_all(pair.stream, "more");
    });
}

TRANSPORT_TEST_CASE("destroying_a_close_that_has_begun_does_not_stop_it") {
    const bool of_listener = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            const auto end = [](auto& closing) -> task<> { (void)co_await closing.close(); };
            group.spawn(of_listener ? end(listener) : end(pair.stream));
            const auto begun = [&] { return of_listener ? !listener.is_open() : !pair.stream.is_open(); };
            co_await until_at_turn_begin(begun);
        }
        if (!of_listener) {
            const std::string wire = co_await read_plain_to_end(pair.peer);
            CHECK(wire.empty());
        }
    });
}

TRANSPORT_TEST_CASE("an_executor_that_ends_with_suspended_tasks_leaves_nothing_behind", "[linux]") {
    const std::size_t before = open_descriptors();
    {
        executor home(options_for(GENERATE(both_modes())));
        std::string target(1000, '#');
        std::string large(1'000'000, 'x');
        home.run([](std::string& into, std::string& text) -> task<> {
            auto listener = must(over_any::listener::bind(over_any::somewhere()));
            auto pair = co_await connected_to_plain<over_any>(4096);
            auto second = co_await connected_to_plain<over_any>(4096);
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn([](auto& from) -> task<> { (void)co_await from.accept(); }(listener));
            group.spawn(receive_some(pair.stream));
            group.spawn([](auto& from, std::string& wanted) -> task<> {
                (void)co_await from.receive_into(bytes_of(wanted));
            }(second.stream, into));
            group.spawn(send_borrowed(pair.stream, text));
            group.spawn(send_borrowed(second.stream, text));
            co_await settle();
        }(target, large));
        check_baseline(home);
    }
    CHECK(open_descriptors() == before);
}
