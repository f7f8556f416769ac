#include "scripted_source.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// The reads that look for something, by number.
template <class Stream> task<result<message_view>> read_one(buffered_reader<Stream>& from, int which) {
    switch (which) {
    case 0: return from.read_exactly(10);
    case 1: return from.read_until("--", 100);
    case 2: return from.read_line(100);
    default: return from.peek(10);
    }
}
constexpr std::string_view what_it_reads[] = {"0123456789", "01234567--", "0123456\r\n", "0123456789"};
constexpr std::string_view what_it_gets[] = {"0123456789", "01234567", "0123456", "0123456789"};
constexpr int ways_to_read = 4;

// The next thing that is read is this text, or this error.
template <class Stream> task<> expect_line(buffered_reader<Stream>& from, std::string text) {
    const auto line = co_await from.read_line(10);
    CHECK(told(line) == "'" + text + "'");
}
template <class Stream> task<> expect_exactly(buffered_reader<Stream>& from, std::string text) {
    const auto read = co_await from.read_exactly(text.size());
    CHECK(told(read) == "'" + text + "'");
}
template <class Stream> task<> expect_end(buffered_reader<Stream>& from) {
    const auto read = co_await from.read_exactly(1);
    CHECK(told(read) == message_of(errc::end_of_stream));
    const auto rest = co_await from.read_some();
    CHECK(told(rest) == "''");
}

} // namespace

TEST_CASE("what_lies_in_one_block_is_seen_where_it_was_received") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        scripted_source from({"one\ntwo\r\n--three--four"});
        buffered_reader reader(from);
        const auto one = co_await reader.read_line(10);
        REQUIRE(told(one) == "'one'");
        CHECK(one->data() == from.latest().data());
        const auto two = co_await reader.read_line(10);
        REQUIRE(told(two) == "'two'");
        CHECK(two->data() == from.latest().data() + 4);
        const auto nothing = co_await reader.read_until("--", 10);
        CHECK(told(nothing) == "''");
        const auto three = co_await reader.read_until("--", 10);
        REQUIRE(told(three) == "'three'");
        CHECK(three->data() == from.latest().data() + 11);
        CHECK(reader.buffered() == 4);
        const auto peeked = co_await reader.peek(2);
        CHECK(told(peeked) == "'fo'");
        const auto four = co_await reader.read_exactly(4);
        REQUIRE(told(four) == "'four'");
        CHECK(four->data() == peeked->data());
        CHECK(reader.buffered() == 0);
        CHECK(executor::current()->stats().buffers_leased == 1);
        co_await expect_end(reader);
        CHECK(executor::current()->stats().buffers_leased == 0);
    });
}

TEST_CASE("however_the_input_is_split_it_is_read_alike") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        constexpr std::string_view input = "a\r\nb\n\r\n..pq";
        for (unsigned cuts = 0; cuts < 1U << (input.size() - 1); ++cuts) {
            CAPTURE(cuts);
            scripted_source from(split(input, cuts));
            buffered_reader reader(from);
            co_await expect_line(reader, "a");
            co_await expect_line(reader, "b");
            const auto looked = co_await reader.peek(3);
            CHECK(told(looked) == "'\r\n.'");
            co_await expect_line(reader, "");
            const auto before = co_await reader.read_until("..", 0);
            CHECK(told(before) == "''");
            const std::size_t skipped = must(co_await reader.skip(1));
            CHECK(skipped == 1);
            co_await expect_exactly(reader, "q");
            co_await expect_end(reader);
            CHECK(from.used_up());
        }
    });
}

// What of a block goes on behind a message that straddles is not lost, nor read twice.
TEST_CASE("random_reads_of_random_pieces_yield_the_input") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        std::minstd_rand random(7);
        for (int round = 0; round < 20; ++round) {
            const std::string input = random_text(5000, static_cast<std::uint32_t>(round + 1));
            std::vector<std::string> pieces;
            for (std::size_t at = 0, size = 0; at < input.size(); at += size)
                pieces.push_back(input.substr(at, size = 1 + random() % (round % 2 == 0 ? 30 : 1000)));
            scripted_source from(std::move(pieces));
            buffered_reader reader(from);
            std::string all;
            while (all.size() < input.size()) {
                const std::size_t size = random() % 100;
                switch (random() % 4) {
                case 0: {
                    const auto looked = co_await reader.peek(size);
                    REQUIRE(looked.has_value());
                    CHECK((looked->text() == std::string_view(input).substr(all.size(), size)));
                    break;
                }
                case 1: {
                    const auto read = co_await reader.read_some(size);
                    REQUIRE(read.has_value());
                    all += read->text();
                    break;
                }
                case 2: {
                    const auto line = co_await reader.read_until("\n", input.size());
                    if (line) (all += line->text()) += '\n';
                    break;
                }
                default: {
                    const auto read = co_await reader.read_exactly(size);
                    if (!read)
                        CHECK(
                            read.error() ==
                            (all.size() < input.size() ? errc::cut_off : errc::end_of_stream));
                    if (read) all += read->text();
                }
                }
            }
            CHECK((all == input));
            co_await expect_end(reader);
        }
    });
}

TRANSPORT_TEST_CASE("a_stream_is_read_byte_by_byte") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        buffered_reader reader(pair.stream);
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](plain_socket& to) -> task<> {
                for (const char each : "hello\r\n0123456789--"sv) {
                    CHECK(to.send(std::string(1, each)));
                    co_await one_turn();
                }
                to.close();
            }(pair.peer));
            co_await expect_line(reader, "hello");
            co_await expect_exactly(reader, "01234");
            const auto rest = co_await reader.read_until("--", 5);
            CHECK(told(rest) == "'56789'");
            co_await expect_end(reader);
        });
    });
}

TRANSPORT_TEST_CASE("a_delimiter_may_lie_across_two_blocks") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        buffered_reader reader(pair.stream);
        for (std::size_t size = 4092; size <= 4097; ++size) {
            const std::string text = random_text(size, 1);
            CHECK(pair.peer.send(text + "<END>" + "after"));
            const auto read = co_await reader.read_until("<END>", size);
            REQUIRE(read.has_value());
            CHECK((read->text() == text));
            co_await expect_exactly(reader, "after");
        }
    });
}

TEST_CASE("a_limit_is_the_size_of_the_longest_that_is_read") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        for (int in_pieces = 0; in_pieces < 2; ++in_pieces) {
            const auto source = [&](const std::string& input) {
                return scripted_source(in_pieces != 0 ? byte_by_byte(input) : std::vector{input});
            };
            for (std::size_t limit = 8; limit <= 11; ++limit) {
                const bool fits = limit >= 9;
                const std::string refused = message_of(errc::too_long);
                for (int ends = 0; ends < 2; ++ends) {
                    scripted_source from = source(ends == 0 ? "123456789\nrest" : "123456789\r\nrest");
                    buffered_reader reader(from);
                    const auto line = co_await reader.read_line(limit);
                    CHECK(told(line) == (fits ? "'123456789'" : refused));
                    if (!fits) co_await expect_line(reader, "123456789"); // nothing was lost
                    co_await expect_exactly(reader, "rest");
                }
                scripted_source from = source("123456789--rest");
                buffered_reader reader(from, limit);
                const auto peeked = co_await reader.peek(9);
                CHECK(told(peeked) == (fits ? "'123456789'" : refused));
                const auto exactly = co_await reader.read_exactly(9);
                CHECK(told(exactly) == (fits ? "'123456789'" : refused));
                if (fits) continue;
                const auto until = co_await reader.read_until("--", limit);
                CHECK(told(until) == refused);
                const auto longer = co_await reader.read_until("--", limit + 1);
                CHECK(told(longer) == "'123456789'");
                co_await expect_exactly(reader, "rest");
            }
        }
        // No number is too large to be a limit.
        scripted_source from({"text--line\r\n"});
        buffered_reader reader(from, std::size_t(-1));
        const auto until = co_await reader.read_until("--", std::size_t(-1));
        CHECK(told(until) == "'text'");
        const auto line = co_await reader.read_line(std::size_t(-1));
        CHECK(told(line) == "'line'");
        const auto nothing = co_await reader.read_exactly(0);
        CHECK(told(nothing) == "''");
        const auto without = co_await reader.read_until("", 10);
        CHECK(error_of(without) == std::errc::invalid_argument);
        const auto all_there_is = co_await reader.read_exactly(std::size_t(-1));
        CHECK(told(all_there_is) == message_of(errc::end_of_stream));
    });
}

TEST_CASE("a_peer_that_sends_no_end_is_refused_at_the_limit") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        scripted_source from(std::vector(100, std::string(100, 'x')));
        buffered_reader reader(from);
        const auto line = co_await reader.read_line(1000);
        CHECK(told(line) == message_of(errc::too_long));
        CHECK(reader.buffered() == 1100); // and no more
    });
}

TEST_CASE("the_end_in_the_middle_is_not_the_end_between_two") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        for (int which = 0; which + 1 < ways_to_read; ++which) {
            CAPTURE(which);
            scripted_source from({"012", "34"});
            buffered_reader reader(from);
            for (int again = 0; again < 2; ++again) {
                const auto read = co_await read_one(reader, which);
                CHECK(told(read) == message_of(errc::cut_off));
            }
            const auto rest = co_await reader.read_some();
            CHECK(told(rest) == "'01234'");
            for (int again = 0; again < 2; ++again) {
                const auto read = co_await read_one(reader, which);
                CHECK(told(read) == message_of(errc::end_of_stream));
            }
        }
        scripted_source from({"012", "34"});
        buffered_reader reader(from);
        const auto peeked = co_await reader.peek(10);
        CHECK(told(peeked) == "'01234'");
        const std::size_t skipped = must(co_await reader.skip(10));
        CHECK(skipped == 5);
        const auto nothing = co_await reader.skip(10);
        CHECK(error_of(nothing) == errc::end_of_stream);
        const auto end = co_await reader.peek(10);
        CHECK(told(end) == "''");
    });
}

TEST_CASE("an_error_of_the_stream_comes_behind_what_was_received") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        for (int which = 0; which < ways_to_read; ++which) {
            CAPTURE(which);
            scripted_source from({"012", "34"}, std::make_error_code(std::errc::connection_reset));
            buffered_reader reader(from);
            const auto read = co_await read_one(reader, which);
            CHECK(error_of(read) == std::errc::connection_reset);
            co_await expect_exactly(reader, "01234");
            const auto some = co_await reader.read_some();
            CHECK(error_of(some) == std::errc::connection_reset);
        }
        scripted_source from({"012"}, std::make_error_code(std::errc::connection_reset));
        buffered_reader reader(from);
        const std::size_t skipped = must(co_await reader.skip(10));
        CHECK(skipped == 3);
        const auto nothing = co_await reader.skip(10);
        CHECK(error_of(nothing) == std::errc::connection_reset);
    });
}

TRANSPORT_TEST_CASE("a_read_that_is_cancelled_in_the_middle_loses_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        buffered_reader reader(pair.stream);
        for (int which = 0; which < ways_to_read; ++which) {
            CAPTURE(which);
            const std::string_view whole = what_it_reads[which];
            for (std::size_t first = 0; first < whole.size(); ++first) {
                if (first != 0) CHECK(pair.peer.send(whole.substr(0, first)));
                std::string cancelled;
                co_await scope([&](task_group& group) -> task<> {
                    group.spawn([](auto& from, int in_which_way, std::string& outcome) -> task<> {
                        const auto read = co_await read_one(from, in_which_way);
                        outcome = told(read);
                    }(reader, which, cancelled));
                    co_await until([&] { return reader.buffered() == first; });
                    co_await one_turn();
                    CHECK(executor::current()->stats().buffers_leased == 0); // it waits without a block
                    group.cancel();
                });
                CHECK(cancelled == message_of(errc::cancelled));
                CHECK(pair.peer.send(whole.substr(first)));
                const auto read = co_await read_one(reader, which);
                CHECK(told(read) == "'" + std::string(what_it_gets[which]) + "'");
                if (which == 3) must(co_await reader.skip(whole.size()));
            }
        }
    });
}

TRANSPORT_TEST_CASE("a_read_whose_task_is_destroyed_loses_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        buffered_reader reader(pair.stream);
        CHECK(pair.peer.send("01234"));
        cancel_scope& here = co_await this_scope{};
        std::optional<task_group> group(std::in_place, here);
        group->spawn([](auto& from) -> task<> { (void)co_await from.read_exactly(10); }(reader));
        co_await until([&] { return reader.buffered() == 5; });
        group.reset();
        CHECK(pair.peer.send("56789"));
        co_await expect_exactly(reader, "0123456789");
    });
}

TEST_CASE("what_was_skipped_when_a_skip_is_cancelled_is_told") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        buffered_reader reader(pair.stream);
        std::size_t skipped = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, std::size_t& count) -> task<> {
                count = must(co_await from.skip(10));
            }(reader, skipped));
            CHECK(pair.peer.send("01234"));
            co_await until([&] { return executor::current()->stats().bytes_received == 5; });
            co_await one_turn();
            group.cancel();
        });
        CHECK(skipped == 5);
        CHECK(pair.peer.send("56789"));
        co_await expect_exactly(reader, "56789");
    });
}

TEST_CASE("a_second_task_that_reads_is_told_that_the_reader_is_busy") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        buffered_reader reader(pair.stream);
        CHECK(pair.peer.send("012"));
        std::string first;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, std::string& outcome) -> task<> {
                const auto read = co_await from.read_exactly(5);
                outcome = told(read);
            }(reader, first));
            co_await until([&] { return reader.buffered() == 3; });
            for (int which = 0; which < ways_to_read; ++which) {
                const auto second = co_await read_one(reader, which);
                CHECK(told(second) == message_of(errc::busy));
            }
            const auto some = co_await reader.read_some();
            CHECK(told(some) == message_of(errc::busy));
            const auto skipped = co_await reader.skip(1);
            CHECK(error_of(skipped) == errc::busy);
            CHECK(pair.peer.send("34"));
        });
        CHECK(first == "'01234'");
    });
}

TEST_CASE("a_view_stays_when_the_stream_is_closed_until_the_next_read") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        buffered_reader reader(pair.stream);
        CHECK(pair.peer.send("one\ntwo\nthr"));
        co_await expect_line(reader, "one");
        const auto two = co_await reader.read_line(10);
        must(co_await pair.stream.close());
        CHECK(told(two) == "'two'");
        const auto three = co_await reader.read_line(10);
        CHECK(error_of(three) == errc::closed);
        co_await expect_exactly(reader, "thr");
    });
}
