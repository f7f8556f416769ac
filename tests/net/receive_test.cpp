#include "sockets.hpp"
#include "unread.hpp"

#include <array>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

struct received {
    bool done = false;
    std::error_code error;
    std::string text;
};

template <class Stream> task<> receive_one(Stream& from, received& into) {
    const auto chunk = co_await from.receive();
    into = {.done = true, .error = error_of(chunk), .text = chunk ? std::string(chunk->text()) : ""};
}

template <class Stream> task<> receive_into_one(Stream& from, received& into, std::size_t room = 100) {
    std::string target(room, '?');
    const auto size =
        co_await from.receive_into(std::as_writable_bytes(std::span(target.data(), target.size())));
    into = {.done = true, .error = error_of(size), .text = size ? target.substr(0, *size) : ""};
}

template <class Stream> task<> receive_either(bool lease, Stream& from, received& into) {
    return lease ? receive_one(from, into) : receive_into_one(from, into);
}

// From here on the stream receives by itself.
template <class Over> task<> arm(stream_and_peer<Over>& pair) {
    CHECK(pair.peer.send("first"));
    co_await expect(pair.stream, "first");
}

} // namespace

TRANSPORT_TEST_CASE("a_receive_waits_for_the_first_bytes") {
    const bool lease = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        received got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(lease, pair.stream, got));
            co_await settle();
            CHECK_FALSE(got.done);
            CHECK(pair.peer.send("hello"));
        });
        CHECK(got.text == "hello");
    });
}

TRANSPORT_TEST_CASE("a_receive_with_a_deadline_takes_what_is_there_already") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        co_await arm(pair);
        REQUIRE(pair.peer.send("second"));
        co_await settle(); // it has been received, and nobody has taken it
        const auto chunk = co_await timeout(1h, pair.stream.receive());
        REQUIRE(chunk.has_value());
        CHECK(chunk->text() == "second");
        REQUIRE(pair.peer.send("third"));
        co_await settle();
        const auto shielded = co_await shield(pair.stream.receive());
        REQUIRE(shielded.has_value());
        CHECK(shielded->text() == "third");
        const auto late = co_await timeout(1ns, pair.stream.receive());
        CHECK(error_of(late) == errc::timed_out);
    });
}

TRANSPORT_TEST_CASE("a_lease_holds_at_most_one_block") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        const std::string text = random_text(10'000, 1);
        CHECK(pair.peer.send(text));
        std::string all;
        while (all.size() < text.size()) {
            const buffer chunk = must(co_await pair.stream.receive());
            CHECK(chunk.size() <= 4096);
            CHECK(executor::current()->stats().buffers_leased == 1);
            all += chunk.text();
        }
        CHECK((all == text));
    });
}

TRANSPORT_TEST_CASE("bytes_are_received_straight_into_memory_or_copied_into_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        received got;
        CHECK(pair.peer.send("straight"));
        co_await receive_into_one(pair.stream, got);
        CHECK(got.text == "straight");

        co_await arm(pair);
        CHECK(pair.peer.send("copied"));
        co_await receive_into_one(pair.stream, got);
        CHECK(got.text == "copied");

        CHECK(pair.peer.send("twice"));
        co_await receive_into_one(pair.stream, got, 3);
        CHECK(got.text == "twi");
        co_await receive_into_one(pair.stream, got, 3);
        CHECK(got.text == "ce");
    });
}

TRANSPORT_TEST_CASE("while_bytes_are_received_into_memory_no_second_receive_begins") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        received got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_into_one(pair.stream, got));
            co_await settle();
            const auto before = executor::current()->stats().operations_in_flight;
            must(co_await pair.stream.send("in between"sv)); // the socket has its turn end
            co_await settle();
            CHECK(executor::current()->stats().operations_in_flight == before);
            CHECK(pair.peer.send("straight"));
        });
        CHECK(got.text == "straight");
    });
}

TRANSPORT_TEST_CASE("nothing_is_received_into_no_memory_at_once") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        const std::size_t before = must(co_await pair.stream.receive_into({}));
        CHECK(before == 0);
        co_await arm(pair);
        CHECK(pair.peer.send("there"));
        co_await settle();
        const std::size_t with_data = must(co_await pair.stream.receive_into({}));
        CHECK(with_data == 0);
        co_await expect(pair.stream, "there");
        co_await pair.stream.close();
        const auto closed = co_await pair.stream.receive_into({});
        CHECK(error_of(closed) == errc::closed);
    });
}

TRANSPORT_TEST_CASE("a_block_taken_in_part_yields_its_rest_to_the_next_receive") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        co_await arm(pair);
        received got;
        CHECK(pair.peer.send("abcdef"));
        co_await receive_into_one(pair.stream, got, 2);
        CHECK(got.text == "ab");
        co_await receive_one(pair.stream, got);
        CHECK(got.text == "cdef");
    });
}

TRANSPORT_TEST_CASE("random_mixtures_of_both_receives_lose_no_byte") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>(4096);
        const std::string text = random_text(500'000, 3);
        std::minstd_rand random(5);
        std::string all;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, const std::string& sent) -> task<> {
                co_await send_all(to, sent);
                must(co_await to.shutdown());
            }(pair.near, text));
            received got;
            do {
                if (random() % 2 == 0)
                    co_await receive_one(pair.far, got);
                else
                    co_await receive_into_one(pair.far, got, 1 + random() % 10'000);
                if (got.error) FAIL(got.error.message());
                all += got.text;
            } while (!got.text.empty());
        });
        CHECK((all == text));
    });
}

TRANSPORT_TEST_CASE("the_end_of_the_stream_is_told_every_time") {
    const bool armed = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        if (armed) co_await arm(pair);
        CHECK(pair.peer.send("last"));
        pair.peer.close();
        received got;
        co_await receive_into_one(pair.stream, got);
        CHECK(got.text == "last");
        for (int again = 0; again < 3; ++again) {
            co_await receive_either(again % 2 == 0, pair.stream, got);
            CHECK_FALSE(got.error);
            CHECK(got.text.empty());
        }
    });
}

TEST_CASE("a_reset_is_an_error_behind_the_bytes_that_came_before_it") {
    const bool lease = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        co_await arm(pair);
        CHECK(pair.peer.send("before"));
        executor& home = *executor::current();
        co_await until([&] { return home.stats().bytes_received == 11; });
        pair.peer.reset();
        co_await settle();
        received got;
        co_await receive_either(lease, pair.stream, got);
        CHECK(got.text == "before");
        for (int again = 0; again < 2; ++again) {
            co_await receive_either(lease, pair.stream, got);
            CHECK(got.error == std::errc::connection_reset);
        }
    });
}

TRANSPORT_TEST_CASE("a_second_reader_is_told_that_the_stream_is_busy") {
    const bool first_leases = GENERATE(true, false);
    const bool second_leases = GENERATE(true, false);
    const bool armed = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        if (armed) co_await arm(pair);
        received first;
        received second;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(first_leases, pair.stream, first));
            co_await settle();
            co_await receive_either(second_leases, pair.stream, second);
            CHECK(second.error == errc::busy);
            CHECK(second.error == std::errc::device_or_resource_busy);
            CHECK_FALSE(first.done);
            CHECK(pair.peer.send("for the first"));
        });
        CHECK(first.text == "for the first");
    });
}

TRANSPORT_TEST_CASE("a_second_reader_cannot_steal_what_the_first_was_already_told_of") {
    const bool first_leases = GENERATE(true, false);
    const bool second_leases = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        co_await arm(pair);
        received first;
        received second;
        executor& home = *executor::current();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(first_leases, pair.stream, first));
            co_await settle();
            CHECK(pair.peer.send("for the first"));
            // The first is in the ready queue, and has not run.
            co_await until_at_turn_begin([&] { return !home.ready().empty(); });
            CHECK_FALSE(first.done);
            co_await receive_either(second_leases, pair.stream, second);
        });
        CHECK(second.error == errc::busy);
        CHECK_FALSE(first.error);
        CHECK(first.text == "for the first");
    });
}

TRANSPORT_TEST_CASE("a_cancelled_receive_loses_no_bytes") {
    const bool lease = GENERATE(true, false);
    const bool armed = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        if (armed) co_await arm(pair);
        received got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(lease, pair.stream, got));
            co_await settle();
            group.cancel();
        });
        CHECK(got.error == errc::cancelled);
        CHECK(pair.peer.send("later"));
        co_await expect(pair.stream, "later");
    });
}

TRANSPORT_TEST_CASE("bytes_that_arrive_while_a_receive_is_cancelled_are_its_result_or_the_next_ones") {
    const bool lease = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        received got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(lease, pair.stream, got));
            co_await settle();
            CHECK(pair.peer.send("race"));
            group.cancel();
        });
        if (got.error) {
            CHECK(got.error == errc::cancelled);
            co_await expect(pair.stream, "race");
        } else {
            CHECK(got.text == "race");
        }
    });
}

TRANSPORT_TEST_CASE("a_receive_on_a_closed_stream_says_so") {
    const bool lease = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        received got;
        over_any::stream unconnected;
        co_await receive_either(lease, unconnected, got);
        CHECK(got.error == errc::closed);

        auto pair = co_await connected_to_plain<over_any>();
        co_await arm(pair);
        CHECK(pair.peer.send("unread"));
        co_await settle();
        must(co_await pair.stream.close());
        co_await receive_either(lease, pair.stream, got);
        CHECK(got.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("closing_a_stream_ends_the_receive_that_waits_on_it") {
    const bool lease = GENERATE(true, false);
    const bool armed = GENERATE(true, false);
    const bool in_flight = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        if (armed) co_await arm(pair);
        received got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(lease, pair.stream, got));
            if (in_flight) co_await settle();
            must(co_await pair.stream.close());
        });
        CHECK(got.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("destroying_a_stream_ends_the_receive_that_waits_on_it") {
    const bool lease = GENERATE(true, false);
    const bool armed = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        if (armed) co_await arm(pair);
        received got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_either(lease, pair.stream, got));
            co_await settle();
            [[maybe_unused]] const over_any::stream dying = std::move(pair.stream);
        });
        CHECK(got.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("a_cancelled_receive_may_resume_after_its_connection_is_gone") {
    const bool lease = GENERATE(true, false);
    executor_options options = options_for(GENERATE(both_modes()));
    options.budget = 1; // so that the cancelled task has to wait for its turn
    on_executor(options, [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        co_await arm(pair);
        received got;
        bool going_on = false;
        // They are in front of the cancelled task in the ready queue for several turns.
        const auto keep_busy = [&]() -> task<> {
            for (int turn = 0; turn < 100'000 && !going_on; ++turn) co_await pass();
        };
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& inner) -> task<> {
                inner.spawn(receive_either(lease, pair.stream, got));
                co_await settle();
                for (int task = 0; task < 10; ++task) group.spawn(keep_busy());
                inner.cancel();
                {
                    [[maybe_unused]] const over_any::stream dying = std::move(pair.stream);
                }
                co_await until_at_turn_begin(
                    [&] { return executor::current()->stats().pending_closes == 0; });
                going_on = true;
            });
        });
        CHECK(got.error == errc::cancelled);
    });
}

TRANSPORT_TEST_CASE("a_reader_that_stops_reading_stops_the_kernel_too") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        executor& home = *executor::current();
        auto pair = co_await connected_to_plain<over_any>();
        auto other = co_await connected_to_plain<over_any>();
        co_await arm(pair);
        CHECK(home.stats().operations_in_flight == 1);

        // Many small segments, one block each.
        std::string sent;
        const auto limit = std::chrono::steady_clock::now() + patience;
        while (home.stats().operations_in_flight != 0) {
            REQUIRE(std::chrono::steady_clock::now() < limit);
            const std::string piece = std::to_string(sent.size()) + ' ';
            REQUIRE(pair.peer.send(piece));
            sent += piece;
            co_await one_turn();
        }
        // A multishot may post some more completions before it stops.
        CHECK(blocks_held(home.buffers()) < 4U * receive_queue::most_blocks);

        CHECK(other.peer.send("served"));
        co_await expect(other.stream, "served");

        pair.peer.close();
        const std::string got = co_await receive_to_end(pair.stream);
        CHECK(got == sent);
    });
}

TRANSPORT_TEST_CASE("what_an_unread_connection_holds_is_bounded_however_much_is_sent_to_it", "[linux]") {
    const task_work_mode mode = GENERATE(both_modes());
    executor_options options = options_for(mode);
    options.buffers.block_size = 256; // many of which are in a socket at once
    on_executor(options, [mode]() -> task<> {
        executor& home = *executor::current();
        const auto held = [&home] { return blocks_held(home.buffers()); };
        const std::string much(65'536, 'x');
        std::vector<stream_and_peer<over_any>> unread;
        for (int number = 0; number < 5; ++number) {
            unread.push_back(co_await connected_to_plain<over_any>());
            co_await arm(unread.back());
            const std::uint32_t before = held();
            co_await until([&] {
                (void)unread.back().peer.send(much);
                return home.stats().operations_in_flight == 0;
            });
            CHECK(held() - before >= receive_queue::most_blocks);
            CHECK(held() - before <= most_blocks_held(mode));
        }
    });
}

// A kernel that is told of many arrivals while it hands out others may lose the last of them.
TRANSPORT_TEST_CASE("who_waits_after_a_burst_waits_in_a_receive_that_is_armed_anew") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.block_size = 64;
    on_executor(options, []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        std::string got;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](stream_and_peer<over_any>& from, std::string& to) -> task<> {
                to = co_await receive_to_end(from.stream);
            }(pair, got));
            co_await settle();
            const auto operations_for = [&pair](std::size_t size) -> task<std::uint64_t> {
                const std::uint64_t before = executor::current()->stats().sqes;
                CHECK(pair.peer.send(std::string(size, 'x')));
                co_await settle();
                co_return executor::current()->stats().sqes - before;
            };
            const std::uint64_t for_one = co_await operations_for(64); // those of `settle`
            const std::uint64_t for_many = co_await operations_for(320);
            CHECK(for_many == for_one + 2); // the end of the one that was armed, and another one
            const std::uint64_t for_one_more = co_await operations_for(64);
            CHECK(for_one_more == for_one);
            pair.peer = plain_socket();
        });
        CHECK(got == std::string(448, 'x'));
    });
}
