// Records over SEQPACKET: boundaries, order, chains, and what a record that does not fit does to the others.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

using pair_of_streams = stream_pair<over_seqpacket>;

struct record_outcome {
    bool done = false;
    std::error_code error;
    std::size_t bytes = 0;
};

task<> send_record(seqpacket_stream& to, std::string record, record_outcome& told) {
    const result<std::size_t> sent = co_await to.send(std::move(record));
    told.error = error_of(sent);
    if (sent) told.bytes = *sent;
    told.done = true;
}

task<std::string> next_record(seqpacket_stream& from) {
    const buffer record = must(co_await from.receive());
    co_return std::string(record.text());
}

task<> expect_record(seqpacket_stream& from, std::string expected) {
    const std::string record = co_await next_record(from);
    CHECK(record == expected);
}

// Fills the way to a peer that does not read.
task<int> congest(seqpacket_stream& to) {
    int records = 0;
    while (::send(to.native_handle(), "fill", 4, MSG_DONTWAIT | MSG_NOSIGNAL) == 4) ++records;
    co_await settle();
    co_return records;
}

} // namespace

TEST_CASE("each_record_arrives_as_it_was_sent") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>();
        must(co_await pair.near.write("one"sv));
        must(co_await pair.near.write("two"s));
        const std::string first = "th";
        const std::string second = "ree";
        const byte_span pieces[] = {bytes_of(first), bytes_of(second)};
        must(co_await pair.near.write(byte_spans(pieces)));
        const std::size_t sent = must(co_await pair.near.send(shared_message("four"s)));
        CHECK(sent == 4);
        co_await expect_record(pair.far, "one");
        co_await expect_record(pair.far, "two");
        co_await expect_record(pair.far, "three");
        co_await expect_record(pair.far, "four");
        must(co_await pair.near.close());
        const std::string end = co_await next_record(pair.far);
        CHECK(end.empty());
    });
}

TEST_CASE("records_of_one_turn_are_one_chain_and_one_enter") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>();
        const statistics before = executor::current()->stats();
        for (int count = 0; count < 16; ++count) must(co_await pair.near.write("x"sv));
        must(co_await pair.near.flush());
        const statistics after = executor::current()->stats();
        CHECK(after.batches_sent - before.batches_sent == 1);
        CHECK(after.messages_sent - before.messages_sent == 16);
        CHECK(after.bytes_sent - before.bytes_sent == 16);
        for (int count = 0; count < 16; ++count) {
            const std::string record = co_await next_record(pair.far);
            CHECK(record == "x");
        }
    });
}

TEST_CASE("records_keep_their_order_when_the_peer_is_slow") {
    // A queue longer than one chain, and than the submission queue where that is small.
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = GENERATE(4u, 256u);
    on_executor(options, []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>(4096);
        constexpr int records = 1000;
        co_await scope([&](task_group& group) -> task<> {
            for (int sender = 0; sender < 4; ++sender) {
                group.spawn([](seqpacket_stream& to, int first) -> task<> {
                    for (int number = first; number < records; number += 4)
                        must(co_await to.write(std::to_string(number) + std::string(number % 97, '.')));
                }(pair.near, sender));
            }
            std::vector<int> last(4, -1);
            for (int count = 0; count < records; ++count) {
                const std::string record = co_await next_record(pair.far);
                const int number = std::atoi(record.c_str());
                CHECK(record == std::to_string(number) + std::string(number % 97, '.'));
                int& previous = last[static_cast<std::size_t>(number % 4)];
                CHECK(number > previous);
                previous = number;
            }
        });
        CHECK(executor::current()->stats().stale_cqes == 0);
    });
}

TEST_CASE("an_empty_record_is_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>();
        const auto sent = co_await pair.near.send(""sv);
        CHECK(error_of(sent) == errc::empty_message);
        const auto written = co_await pair.near.write(""sv);
        CHECK(error_of(written) == errc::empty_message);
        must(co_await pair.near.flush());
        must(co_await pair.near.send("still open"sv));
    });
}

TEST_CASE("a_record_too_large_for_the_socket_fails_alone") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>();
        record_outcome before;
        record_outcome large;
        record_outcome behind[2];
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_record(pair.near, "before", before));
            group.spawn(send_record(pair.near, std::string(std::size_t{64} << 20, 'x'), large));
            group.spawn(send_record(pair.near, "behind", behind[0]));
            group.spawn(send_record(pair.near, "it", behind[1]));
            co_return;
        });
        CHECK(before.bytes == 6);
        CHECK(large.error == std::errc::message_size);
        CHECK(behind[0].bytes == 6);
        CHECK(behind[1].bytes == 2);
        co_await expect_record(pair.far, "before");
        co_await expect_record(pair.far, "behind");
        co_await expect_record(pair.far, "it");
    });
}

TEST_CASE("a_written_record_too_large_for_the_socket_shows_at_the_next_write_flush_or_close") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const std::string large(100'000, 'x');
        for (int verb = 0; verb < 3; ++verb) {
            pair_of_streams pair = co_await connected<over_seqpacket>(4096);
            must(co_await pair.near.write("before"sv));
            must(co_await pair.near.write(std::string(large)));
            result<void> told;
            if (verb == 0) {
                co_await settle();
                told = co_await pair.near.write("behind"sv);
            } else if (verb == 1) {
                told = co_await pair.near.flush();
            } else {
                told = co_await pair.near.close();
            }
            CAPTURE(verb);
            CHECK(error_of(told) == std::errc::message_size);
            co_await expect_record(pair.far, "before");
        }
    });
}

TEST_CASE("a_record_longer_than_the_memory_for_it_is_an_error_and_the_next_one_is_whole") {
    const bool direct = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [direct]() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>();
        must(co_await pair.near.send(std::string(5000, 'x')));
        must(co_await pair.near.send("whole"sv));
        std::byte memory[8];
        if (direct) {
            const auto cut = co_await pair.far.receive_into(memory);
            CHECK(error_of(cut) == std::errc::message_size);
            const auto whole = co_await pair.far.receive_into(memory);
            CHECK(must(whole) == 5);
        } else {
            const auto cut = co_await pair.far.receive();
            CHECK(error_of(cut) == std::errc::message_size);
            const std::string whole = co_await next_record(pair.far);
            CHECK(whole == "whole");
        }
    });
}

TEST_CASE("when_the_peer_goes_away_each_record_learns_what_became_of_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>(4096);
        co_await congest(pair.near);
        record_outcome stuck;
        record_outcome behind;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_record(pair.near, "stuck", stuck));
            group.spawn(send_record(pair.near, "behind", behind));
            co_await settle();
            CHECK_FALSE(stuck.done);
            pair.far = {};
        });
        CHECK((stuck.error == std::errc::broken_pipe || stuck.error == std::errc::connection_reset));
        CHECK(behind.error == errc::never_started);
        const auto late = co_await pair.near.send("late"sv);
        CHECK(error_of(late) == errc::broken);
        const auto flushed = co_await pair.near.flush();
        CHECK(error_of(flushed) == stuck.error);
    });
}

TEST_CASE("a_record_cancelled_in_the_chain_is_taken_out_and_the_others_are_sent", "[linux]") {
    const int cancelled = GENERATE(0, 1, 2);
    on_executor(GENERATE(both_modes()), [cancelled]() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>(4096);
        const int filled = co_await congest(pair.near);
        record_outcome told[3];
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& inner) -> task<> {
                for (int at = 0; at < 3; ++at)
                    (at == cancelled ? inner : group)
                        .spawn(send_record(pair.near, std::to_string(at), told[at]));
                co_await settle();
                inner.cancel();
            });
            CHECK(told[cancelled].error == errc::cancelled);
            for (int count = 0; count < filled; ++count) {
                const std::string record = co_await next_record(pair.far);
                CHECK(record == "fill");
            }
            for (int at = 0; at < 3; ++at) {
                if (at == cancelled) continue;
                const std::string record = co_await next_record(pair.far);
                CHECK(record == std::to_string(at));
            }
        });
        for (int at = 0; at < 3; ++at)
            if (at != cancelled) CHECK(told[at].bytes == 1);
    });
}

TEST_CASE("what_was_written_as_records_is_sent_though_the_stream_is_destroyed") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        pair_of_streams pair = co_await connected<over_seqpacket>(4096);
        for (int number = 0; number < 200; ++number) must(co_await pair.near.write(std::to_string(number)));
        pair.near = {};
        for (int number = 0; number < 200; ++number) {
            const std::string record = co_await next_record(pair.far);
            CHECK(record == std::to_string(number));
        }
        const std::string end = co_await next_record(pair.far);
        CHECK(end.empty());
    });
}
