// Releases that end early, or whose stream does, and those who wait on the stream meanwhile.
#include "released.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

TRANSPORT_TEST_CASE("a_cancelled_release_waits_no_longer_and_has_the_descriptor") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            group.cancel();
        });
        REQUIRE(released);
        CHECK(released->error == errc::cancelled);
        CHECK(texts_of(released->unsent) == std::vector<std::string>{"never read"});
        CHECK(released->descriptor);
    });
}

TEST_CASE("a_deadline_of_a_release_is_a_cancellation_with_the_descriptor") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_unix>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        result<released_stream> released = failure(errc::timed_out);
        // A deadline that passes before the release begins changes nothing.
        for (auto limit = 1ms; error_of(released) == errc::timed_out; limit *= 2)
            released = co_await timeout(limit, pair.stream.release(1h));
        REQUIRE(released);
        CHECK(released->error == errc::cancelled);
        CHECK(released->descriptor);
        CHECK(texts_of(released->unsent) == std::vector<std::string>{"never read"});
    });
}

TRANSPORT_TEST_CASE("a_release_that_is_cancelled_before_it_begins_changes_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            group.cancel();
            co_return;
        });
        CHECK(error_of(released) == errc::cancelled);
        CHECK(pair.peer.send("still open"));
        co_await expect(pair.stream, "still open");
    });
}

CONNECTION_TEST_CASE("who_receives_is_told_that_this_side_has_closed_and_what_comes_is_kept") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        outcome received;
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_and_tell(pair.stream, received));
            co_await settle();
            CHECK(pair.peer.send("too late for it")); // reaped in the turn in which the release begins
            group.spawn(release_into(pair.stream, 1h, released));
        });
        REQUIRE(released);
        if (received.error) {
            CHECK(received.error == errc::closed);
            auto again = adopted_again<over_any>(*released);
            co_await expect(again, "too late for it");
        } else {
            CHECK(released->received.empty());
        }
    });
}

CONNECTION_TEST_CASE("who_receives_into_memory_gets_what_the_kernel_gave_to_it") {
    const bool sends = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [sends]() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        std::array<std::byte, 16> memory{};
        result<std::size_t> received;
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, std::span<std::byte> into, result<std::size_t>& size) -> task<> {
                size = co_await from.receive_into(into);
            }(pair.stream, memory, received));
            co_await settle();
            if (sends) CHECK(pair.peer.send("there"));
            group.spawn(release_into(pair.stream, 1h, released));
        });
        REQUIRE(released);
        if (received) {
            CHECK(*received == 5);
            CHECK(released->received.empty());
        } else {
            CHECK(received.error() == errc::closed);
            auto again = adopted_again<over_any>(*released);
            if (sends) co_await expect(again, "there");
        }
    });
}

TRANSPORT_TEST_CASE("a_stream_is_released_once") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("queued"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            const auto again = co_await pair.stream.release();
            CHECK(error_of(again) == errc::closed);
            const auto closed = co_await pair.stream.close();
            CHECK(error_of(closed) == errc::closed);
            const auto sent = co_await pair.stream.send("late"sv);
            CHECK(error_of(sent) == errc::closed);
            const auto received = co_await pair.stream.receive();
            CHECK(error_of(received) == errc::closed);
            co_await until([&] {
                pair.peer.read_now();
                return released.has_value() && released->descriptor;
            });
        });
        CHECK_FALSE(released->error);
        const auto after = co_await pair.stream.release();
        CHECK(error_of(after) == errc::closed);
        const auto of_nothing = co_await over_any::stream().release();
        CHECK(error_of(of_nothing) == errc::closed);
    });
}

TRANSPORT_TEST_CASE("an_abort_ends_a_release") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("queued"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            pair.stream.abort();
        });
        CHECK(error_of(released) == errc::closed);
        co_await until([] { return executor::current()->stats().pending_closes == 0; });
        if (over_any::tcp) CHECK(how_it_ended(pair.peer) == ECONNRESET);
    });
}

TRANSPORT_TEST_CASE("a_release_that_is_destroyed_closes") {
    const bool congested = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [congested]() -> task<> {
        auto pair = co_await adopted_pair<over_any>(4096);
        CHECK(pair.peer.send("x"));
        co_await expect(pair.stream, "x");
        CHECK(pair.peer.send("unread"));
        const std::size_t dots = congested ? co_await congest(pair) : 0;
        must(co_await pair.stream.write("last words"sv));
        {
            cancel_scope& here = co_await this_scope{};
            result<released_stream> released;
            std::optional<task_group> group(std::in_place, here);
            group->spawn(release_into(pair.stream, 1h, released));
            co_await pass();
            if (congested) co_await settle();
            group.reset();
        }
        CHECK_FALSE(pair.stream.is_open());
        if (congested) {
            const std::string wire = co_await read_plain_to_end(pair.peer);
            CHECK(wire.substr(dots) == "last words");
        }
        pair.peer.close();
    });
}

TRANSPORT_TEST_CASE("a_release_outlives_its_stream") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("queued"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            {
                const auto dropped = std::move(pair.stream);
            }
            co_await until([&] {
                pair.peer.read_now();
                return released.has_value() && released->descriptor;
            });
        });
        CHECK_FALSE(released->error);
        auto again = adopted_again<over_any>(*released);
        CHECK(pair.peer.send("still connected"));
        co_await expect(again, "still connected");
    });
}
