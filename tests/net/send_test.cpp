// Sending: order, batches, and what becomes of messages when a connection or a sender fails.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

struct send_outcome {
    bool done = false;
    std::error_code error;
    std::size_t sent = 0;
};

template <class Stream> task<> send_text(Stream& to, std::string text, send_outcome& outcome) {
    const auto sent = co_await to.send(text);
    outcome = {.done = true, .error = error_of(sent), .sent = sent ? *sent : 0};
}

bool any_of(std::error_code error, std::initializer_list<std::error_code> expected) {
    return std::ranges::find(expected, error) != expected.end();
}

const std::error_code reset = from_errno(ECONNRESET);
const std::error_code pipe_closed = from_errno(EPIPE);

// A message: its number, its length, and filler.
struct header {
    std::uint32_t number;
    std::uint32_t filler;
};

std::string numbered(std::uint32_t number, std::size_t filler) {
    const header head{.number = number, .filler = static_cast<std::uint32_t>(filler)};
    std::string text(reinterpret_cast<const char*>(&head), sizeof head);
    return text.append(filler, static_cast<char>('a' + number % 26));
}

// How many whole messages `wire` holds, numbered from 0 and unbroken.
std::uint32_t count_numbered(std::string_view wire) {
    std::uint32_t expected = 0;
    while (!wire.empty()) {
        header head{};
        REQUIRE(wire.size() >= sizeof head);
        std::memcpy(&head, wire.data(), sizeof head);
        REQUIRE(head.number == expected);
        REQUIRE(wire.size() >= sizeof head + head.filler);
        const std::string_view filler = wire.substr(sizeof head, head.filler);
        REQUIRE(filler.find_first_not_of(static_cast<char>('a' + expected % 26)) == std::string_view::npos);
        wire.remove_prefix(sizeof head + head.filler);
        ++expected;
    }
    return expected;
}

constexpr int small = 4096; // bytes of socket buffer

} // namespace

TRANSPORT_TEST_CASE("the_order_on_the_wire_is_the_order_of_the_calls") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>(small);
        constexpr unsigned senders = 20;
        constexpr unsigned each = 25;
        std::uint32_t next = 0;
        std::minstd_rand random(7);
        const auto send_some = [&]() -> task<> {
            for (unsigned count = 0; count < each; ++count) {
                const std::size_t filler = random() % 4 == 0 ? random() % 3000 : random() % 40;
                const std::string text = numbered(next++, filler);
                co_await send_all(pair.near, text);
            }
        };
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, std::string& all) -> task<> {
                all = co_await receive_to_end(from);
            }(pair.far, wire));
            co_await scope([&](task_group& sending) -> task<> {
                for (unsigned sender = 0; sender < senders; ++sender) sending.spawn(send_some());
                co_return;
            });
            must(co_await pair.near.shutdown());
        });
        CHECK(count_numbered(wire) == senders * each);
    });
}

TRANSPORT_TEST_CASE("three_thousand_small_messages_go_out_in_one_batch", "[linux]") {
    constexpr unsigned count = 3000;
    executor_options options = options_for(GENERATE(both_modes()));
    options.budget = 2 * count; // so that all are queued in one turn
    on_executor(options, []() -> task<> {
        auto pair = co_await connected<over_any>();
        std::vector<send_outcome> outcomes(count);
        const statistics before = executor::current()->stats();
        co_await scope([&](task_group& group) -> task<> {
            for (unsigned number = 0; number < count; ++number)
                group.spawn(send_text(pair.near, numbered(number, number % 50), outcomes[number]));
            co_return;
        });
        const statistics after = executor::current()->stats();
        CHECK(after.batches_sent - before.batches_sent == 1); // a chain of three: a vectored send takes 1024
        CHECK(after.messages_sent - before.messages_sent == count);
        for (unsigned number = 0; number < count; ++number) {
            REQUIRE_FALSE(outcomes[number].error);
            REQUIRE(outcomes[number].sent == sizeof(header) + number % 50);
        }
        must(co_await pair.near.shutdown());
        const std::string wire = co_await receive_to_end(pair.far);
        CHECK(after.bytes_sent - before.bytes_sent == wire.size());
        CHECK(count_numbered(wire) == count);
    });
}

TRANSPORT_TEST_CASE("messages_of_one_turn_are_one_batch") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        send_outcome outcomes[3];
        const statistics before = executor::current()->stats();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.near, "one ", outcomes[0]));
            group.spawn(send_text(pair.near, "two ", outcomes[1]));
            group.spawn(send_text(pair.near, "three", outcomes[2]));
            co_return;
        });
        CHECK(executor::current()->stats().batches_sent - before.batches_sent == 1);
        co_await expect(pair.far, "one two three");
    });
}

TRANSPORT_TEST_CASE("an_empty_message_is_complete_when_all_before_it_are") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>(small);
        const statistics before = executor::current()->stats();
        co_await send_all(pair.near, "");
        CHECK(executor::current()->stats().batches_sent == before.batches_sent);
        const std::size_t of_nothing = must(co_await pair.near.send(buffer()));
        CHECK(of_nothing == 0);

        const std::string large = random_text(300'000, 1);
        send_outcome first;
        send_outcome empty;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.near, large, first));
            group.spawn(send_text(pair.near, "", empty));
            co_await settle();
            CHECK_FALSE(first.done);
            CHECK_FALSE(empty.done);
            co_await expect(pair.far, large);
        });
        CHECK(first.sent == large.size());
        CHECK(empty.done);
        CHECK_FALSE(empty.error);
    });
}

TRANSPORT_TEST_CASE("a_message_longer_than_a_batch_is_sent_whole_and_in_its_place") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const std::string large = random_text(3'000'001, 2);
        send_outcome outcomes[4];
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.near, "head", outcomes[0]));
            group.spawn(send_text(pair.near, large, outcomes[1]));
            group.spawn(send_text(pair.near, "tail", outcomes[2]));
            co_await one_turn();
            group.spawn(send_text(pair.near, "late", outcomes[3]));
            co_await expect(pair.far, "head" + large + "taillate");
        });
        for (const send_outcome& outcome : outcomes) CHECK_FALSE(outcome.error);
        CHECK(outcomes[1].sent == large.size());
    });
}

TRANSPORT_TEST_CASE("a_received_lease_is_sent_without_a_copy_and_comes_home") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        co_await send_all(pair.near, "there and back");
        buffer lease = must(co_await pair.far.receive());
        CHECK(executor::current()->stats().buffers_leased == 1);
        lease.remove_prefix(6);
        const std::size_t sent = must(co_await pair.far.send(std::move(lease)));
        CHECK(sent == 8);
        CHECK(executor::current()->stats().buffers_leased == 0);
        co_await expect(pair.near, "and back");
    });
}

TRANSPORT_TEST_CASE("a_send_on_a_closed_stream_says_so") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        over_any::stream never;
        const auto to_nobody = co_await never.send("x");
        CHECK(error_of(to_nobody) == errc::closed);
        auto pair = co_await connected<over_any>();
        must(co_await pair.near.close());
        const auto late = co_await pair.near.send("x");
        CHECK(error_of(late) == errc::closed);
        CHECK(error_of(late) == std::errc::bad_file_descriptor);
    });
}

TRANSPORT_TEST_CASE("when_the_peer_resets_each_message_learns_what_became_of_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        send_outcome stuck;
        send_outcome behind[2];
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, std::string(500'000, 'x'), stuck));
            co_await settle();
            group.spawn(send_text(pair.stream, "never", behind[0]));
            group.spawn(send_text(pair.stream, "", behind[1]));
            co_await settle();
            CHECK_FALSE(stuck.done);
            pair.peer.reset();
        });
        if (over_any::tcp)
            CHECK(stuck.error == reset);
        else
            CHECK(any_of(stuck.error, {reset, pipe_closed}));
        CHECK(behind[0].error == errc::never_started);
        CHECK(behind[1].error == errc::never_started);
        const auto late = co_await pair.stream.send("late");
        CHECK(error_of(late) == errc::broken);
        CHECK(error_of(late) == std::errc::broken_pipe);
        const auto half_closed = co_await pair.stream.shutdown();
        CHECK(error_of(half_closed) == stuck.error);
        const auto closed = co_await pair.stream.close();
        CHECK(error_of(closed) == stuck.error);
        CHECK_FALSE(pair.stream.is_open());
    });
}

// The kernel tells it to one operation only, and to the others an end or a broken pipe.
CONNECTION_TEST_CASE("why_a_connection_broke_is_told_to_both_directions_whichever_comes_first") {
    const bool sends_first = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [sends_first]() -> task<> {
        auto pair = co_await connected<over_any>();
        must(co_await pair.near.send("nobody reads it"sv)); // so that a unix peer breaks the connection too
        pair.far.abort();
        co_await until([] { return executor::current()->stats().pending_closes == 0; });
        std::error_code errors[2];
        for (const bool sends : {sends_first, !sends_first}) {
            if (sends) {
                const auto sent = co_await pair.near.send("late"sv);
                errors[0] = error_of(sent);
            } else {
                const auto received = co_await pair.near.receive();
                errors[1] = error_of(received);
            }
        }
        CHECK(errors[0] == reset);
        CHECK(errors[1] == reset);
    });
}

TEST_CASE("a_reset_is_told_to_both_directions_also_while_they_wait") {
    enum class direction { receives, sends, both };
    const direction first = GENERATE(direction::receives, direction::sends, direction::both);
    on_executor(GENERATE(both_modes()), [first]() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(small);
        send_outcome sent;
        std::error_code received;
        const auto receive = [](tcp_stream& from, std::error_code& error) -> task<> {
            const auto got = co_await from.receive();
            error = error_of(got);
        };
        co_await scope([&](task_group& group) -> task<> {
            if (first != direction::receives)
                group.spawn(send_text(pair.stream, std::string(500'000, 'x'), sent));
            if (first != direction::sends) group.spawn(receive(pair.stream, received));
            co_await settle();
            pair.peer.reset();
        });
        if (first == direction::receives) co_await send_text(pair.stream, "late", sent);
        if (first == direction::sends) co_await receive(pair.stream, received);
        CHECK(sent.error == reset);
        CHECK(received == reset);
    });
}

TRANSPORT_TEST_CASE("a_send_after_the_peer_has_gone_fails_with_the_connections_error") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        pair.peer.reset();
        std::error_code error;
        for (int attempt = 0; attempt < 100 && !error; ++attempt) {
            const auto sent = co_await pair.stream.send("x");
            error = error_of(sent);
        }
        CHECK(any_of(error, {reset, pipe_closed}));
        const auto late = co_await pair.stream.send("late");
        CHECK(error_of(late) == errc::broken);
    });
}

TRANSPORT_TEST_CASE("a_message_cancelled_in_the_queue_is_not_on_the_wire") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        const std::string large = random_text(200'000, 3);
        send_outcome first;
        send_outcome unwanted;
        send_outcome last;
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, large, first));
            co_await settle();
            co_await scope([&](task_group& inner) -> task<> {
                inner.spawn(send_text(pair.stream, "unwanted", unwanted));
                co_await one_turn();
                group.spawn(send_text(pair.stream, "last", last));
                co_await one_turn();
                inner.cancel();
            });
            CHECK(unwanted.error == errc::cancelled);
            CHECK_FALSE(first.done);
            wire = co_await read_plain(pair.peer, large.size() + 4);
        });
        CHECK((wire == large + "last"));
        CHECK(first.sent == large.size());
        CHECK(last.sent == 4);
    });
}

TRANSPORT_TEST_CASE("a_message_cancelled_before_the_kernel_took_any_of_it_harms_no_other") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        const std::size_t filled = co_await congest(pair);
        send_outcome first;
        send_outcome unwanted;
        send_outcome last;
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& inner) -> task<> {
                group.spawn(send_text(pair.stream, "first", first));
                inner.spawn(send_text(pair.stream, "unwanted", unwanted));
                group.spawn(send_text(pair.stream, "last", last));
                co_await settle();
                inner.cancel();
            });
            CHECK(unwanted.error == errc::cancelled);
            CHECK_FALSE(first.done);
            CHECK_FALSE(last.done);
            wire = co_await read_plain(pair.peer, filled + 9);
        });
        CHECK((wire == std::string(filled, '.') + "firstlast"));
        CHECK(first.sent == 5);
        CHECK(last.sent == 4);
        co_await send_all(pair.stream, "more");
    });
}

TRANSPORT_TEST_CASE("a_cancelled_message_behind_one_in_progress_harms_no_other") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        const std::string large = random_text(100'000, 4);
        send_outcome first;
        send_outcome unwanted;
        send_outcome last;
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& inner) -> task<> {
                group.spawn(send_text(pair.stream, large, first));
                inner.spawn(send_text(pair.stream, "unwanted", unwanted));
                group.spawn(send_text(pair.stream, "last", last));
                co_await settle();
                inner.cancel();
            });
            CHECK(unwanted.error == errc::cancelled);
            CHECK_FALSE(first.done);
            wire = co_await read_plain(pair.peer, large.size() + 4);
        });
        CHECK((wire == large + "last"));
        CHECK(first.sent == large.size());
        CHECK(last.sent == 4);
    });
}

TRANSPORT_TEST_CASE("a_message_cancelled_half_way_ends_the_stream") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        const std::string large = random_text(GENERATE(100'000u, 1'000'000u), 5);
        send_outcome cut;
        send_outcome behind;
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& inner) -> task<> {
                inner.spawn(send_text(pair.stream, large, cut));
                group.spawn(send_text(pair.stream, "behind", behind));
                co_await settle();
                inner.cancel();
            });
        });
        CHECK(cut.error == errc::broken);
        CHECK(behind.error == errc::never_started);
        const auto late = co_await pair.stream.send("late");
        CHECK(error_of(late) == errc::broken);
        const auto closed = co_await pair.stream.close();
        CHECK(error_of(closed) == errc::broken);
        const std::string wire = co_await read_plain_to_end(pair.peer);
        CHECK(!wire.empty());
        CHECK((wire == large.substr(0, wire.size())));
    });
}

TRANSPORT_TEST_CASE("a_stream_that_a_cut_message_ended_says_so_from_then_on") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        const std::string large(1'000'000, 'x');
        const auto cut = co_await timeout(1ms, pair.stream.send(large));
        CHECK(error_of(cut) == errc::broken);
        for (int time = 0; time < 2; ++time) { // at once, and when the stream has closed by itself
            const auto sent = co_await pair.stream.send("late"sv);
            CHECK(error_of(sent) == errc::broken);
            const auto written = co_await pair.stream.write("late"sv);
            CHECK(error_of(written) == errc::broken);
            const auto flushed = co_await pair.stream.flush();
            CHECK(error_of(flushed) == errc::broken);
            (void)co_await read_plain_to_end(pair.peer);
            co_await until([&] { return !pair.stream.is_open(); });
        }
        const auto received = co_await pair.stream.receive();
        CHECK(error_of(received) == errc::broken);
        const auto closed = co_await pair.stream.close();
        CHECK(error_of(closed) == errc::broken);
    });
}

TRANSPORT_TEST_CASE("a_send_under_a_deadline_tells_how_much_went_out") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(small);
        const std::string large = random_text(1'000'000, 8);
        auto sending = timeout(1ms, pair.stream.send(large));
        const auto sent = co_await sending;
        CHECK(error_of(sent) == errc::broken);
        const std::string wire = co_await read_plain_to_end(pair.peer);
        CHECK(sending.sent() == wire.size());
        CHECK((wire == large.substr(0, wire.size())));
    });
}

TRANSPORT_TEST_CASE("a_long_message_cancelled_between_two_batches_ends") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        send_outcome cut;
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            std::string text;
            text.resize(50'000'000, 'x');
            group.spawn(send_text(pair.stream, std::move(text), cut));
            // Nothing is in flight when a batch is complete and the next one not yet formed.
            executor& home = *executor::current();
            co_await until([&] {
                const bool between = home.stats().bytes_sent > 0 && home.stats().operations_in_flight == 0;
                if (!between) wire += pair.peer.read_now();
                return between;
            });
            group.cancel();
        }); // and nobody reads from here on
        CHECK(cut.error == errc::broken);
    });
}

TRANSPORT_TEST_CASE("a_send_in_a_cancelled_scope_is_not_started") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        send_outcome outcome;
        co_await scope([&](task_group& group) -> task<> {
            group.cancel();
            group.spawn(send_text(pair.near, "unwanted", outcome));
            co_return;
        });
        CHECK(outcome.error == errc::cancelled);
        co_await send_all(pair.near, "wanted");
        co_await expect(pair.far, "wanted");
    });
}
