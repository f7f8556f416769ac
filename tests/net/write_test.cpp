// write and flush: what the queue owns, where writers wait, where errors show.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<> write_text(Stream& to, std::string_view text) {
    must(co_await to.write(text));
}

// Writes and tells what came of it.
template <class Stream> task<> write_and_tell(Stream& to, std::string text, outcome& told) {
    const result<void> written = co_await to.write(std::move(text));
    told.error = error_of(written);
    told.done = true;
}

template <class Stream> task<> send_and_tell(Stream& to, std::string_view text, outcome& told) {
    const result<std::size_t> sent = co_await to.send(text);
    told.error = error_of(sent);
    told.done = true;
}

constexpr send_marks tight{.high_bytes = 1000, .low_bytes = 100, .high_messages = 1000, .low_messages = 1000};

} // namespace

TRANSPORT_TEST_CASE("everything_that_can_be_written_arrives_in_the_order_of_the_calls") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        std::string borrowed = "text ";
        must(co_await pair.stream.write(borrowed));
        borrowed = "gone!"; // it was copied
        must(co_await pair.stream.write("string "s));
        std::vector<std::byte> bytes(3, std::byte{'v'});
        must(co_await pair.stream.write(std::move(bytes)));
        const shared_message shared("shared "s);
        must(co_await pair.stream.write(shared));
        const std::string first = "pie";
        const std::string second = "ces ";
        const byte_span pieces[] = {bytes_of(first), {}, bytes_of(second)};
        must(co_await pair.stream.write(byte_spans(pieces)));
        CHECK(pair.peer.send("lease"));
        buffer lease = must(co_await pair.stream.receive());
        must(co_await pair.stream.write(std::move(lease)));
        const std::string all = co_await read_plain(pair.peer, 34);
        CHECK(all == "text string vvvshared pieces lease");
    });
}

TRANSPORT_TEST_CASE("a_lease_of_few_bytes_that_is_written_goes_home_before_they_are_sent") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::size_t before = co_await congest(pair);
        std::string expected;
        for (const std::size_t size : {1U, 100U, 2047U, 2048U, 4096U}) {
            expected.append(size, static_cast<char>('a' + expected.size() % 26));
            CHECK(pair.peer.send(std::string_view(expected).substr(expected.size() - size)));
            for (std::size_t got = 0; got < size;) {
                buffer lease = must(co_await pair.stream.receive());
                got += lease.size();
                const std::uint32_t leased = executor::current()->stats().buffers_leased;
                const bool is_copied = lease.size() < 2048;
                must(co_await pair.stream.write(std::move(lease)));
                CHECK(executor::current()->stats().buffers_leased == leased - (is_copied ? 1 : 0));
            }
        }
        std::string all = co_await read_plain(pair.peer, before + expected.size());
        CHECK(all.substr(before) == expected);
        must(co_await pair.stream.flush());
        CHECK(executor::current()->stats().buffers_leased == 0);
    });
}

TRANSPORT_TEST_CASE("everything_that_can_be_sent_arrives_and_is_counted") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        std::size_t bytes = 0;
        bytes += must(co_await pair.stream.send("short "s));
        bytes += must(co_await pair.stream.send(std::string(100, 's')));
        bytes += must(co_await pair.stream.send(std::vector<std::byte>(10)));
        bytes += must(co_await pair.stream.send(shared_message("shared"s)));
        const std::string first = "pie";
        const std::string second = "ces";
        const byte_span pieces[] = {bytes_of(first), {}, bytes_of(second)};
        bytes += must(co_await pair.stream.send(byte_spans(pieces)));
        CHECK(bytes == 128);
        const std::string all = co_await read_plain(pair.peer, bytes);
        CHECK(all == "short " + std::string(100, 's') + std::string(10, '\0') + "sharedpieces");
    });
}

TRANSPORT_TEST_CASE("writes_of_one_turn_are_one_batch") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        const statistics before = executor::current()->stats();
        for (int count = 0; count < 100; ++count) must(co_await pair.stream.write("x"sv));
        CHECK(pair.stream.unsent() == 100);
        must(co_await pair.stream.flush());
        CHECK(pair.stream.unsent() == 0);
        const statistics after = executor::current()->stats();
        CHECK(after.batches_sent - before.batches_sent == 1);
        CHECK(pair.peer.read_now() == std::string(100, 'x'));
    });
}

TRANSPORT_TEST_CASE("small_writes_are_joined_and_keep_their_order_among_all_others") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        std::minstd_rand random(7);
        std::string expected;
        const statistics before = executor::current()->stats();
        constexpr int count = 3000;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, auto& dice, std::string& all) -> task<> {
                for (int written = 0; written < count; ++written) {
                    const std::string text =
                        random_text(1 + dice() % 100, static_cast<std::uint32_t>(written));
                    all += text;
                    switch (dice() % 20) {
                    case 0: must(co_await to.write(std::string(text))); break;
                    case 1: must(co_await to.write(shared_message(std::string(text)))); break;
                    case 2: must(co_await to.send(text)); break;
                    case 3: must(co_await to.flush()); [[fallthrough]];
                    default: must(co_await to.write(std::string_view(text)));
                    }
                }
                must(co_await to.shutdown());
            }(pair.near, random, expected));
            const std::string arrived = co_await receive_to_end(pair.far);
            CHECK((arrived == expected));
        });
        const statistics after = executor::current()->stats();
        CHECK(after.messages_sent - before.messages_sent == count);
        CHECK(after.bytes_sent - before.bytes_sent == expected.size());
    });
}

TEST_CASE("joined_writes_count_as_many_messages_for_the_marks") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        co_await congest(pair);
        send_marks few;
        few.high_messages = 5;
        few.low_messages = 1;
        pair.stream.set_send_marks(few);
        for (int written = 0; written < 5; ++written) must(co_await pair.stream.write("x"sv));
        co_await settle(); // they are in the batch
        outcome waits;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](tcp_stream& to, outcome& told) -> task<> {
                const auto written = co_await to.write("sixth"sv);
                told = {.done = true, .error = error_of(written)};
            }(pair.stream, waits));
            co_await settle();
            CHECK_FALSE(waits.done);
            group.cancel();
        });
        CHECK(waits.error == errc::cancelled);
        CHECK(pair.stream.unsent() == 5); // what had not to wait is untouched by what had
        pair.stream.abort();
    });
}

TRANSPORT_TEST_CASE("pieces_beyond_one_vectored_send_go_on_in_the_next") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        const std::string text = random_text(3000, 1);
        std::vector<byte_span> pieces;
        for (std::size_t at = 0; at < text.size(); ++at) {
            pieces.push_back(bytes_of(text).subspan(at, 1));
            if (at % 7 == 0) pieces.push_back({});
        }
        const std::size_t sent = must(co_await pair.stream.send(byte_spans(pieces)));
        CHECK(sent == text.size());
        const std::string all = co_await read_plain(pair.peer, text.size());
        CHECK((all == text));
    });
}

TRANSPORT_TEST_CASE("a_writer_waits_above_the_high_water_mark_until_the_low_one") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks(tight);
        const std::size_t before = co_await congest(pair);
        outcome fits;
        outcome waits;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(write_and_tell(pair.stream, std::string(1000, 'a'), fits));
            group.spawn(write_and_tell(pair.stream, "b", waits));
            co_await settle();
            CHECK(fits.done);
            CHECK_FALSE(waits.done);
            CHECK(pair.stream.unsent() == 1001);
            const std::string all = co_await read_plain(pair.peer, before + 1001);
            CHECK(all.substr(before) == std::string(1000, 'a') + "b");
            co_await until([&] { return waits.done; });
        });
        CHECK_FALSE(waits.error);
    });
}

TRANSPORT_TEST_CASE("the_number_of_messages_has_marks_too") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks({.high_messages = 10, .low_messages = 5});
        co_await congest(pair);
        std::vector<outcome> told(12);
        co_await scope([&](task_group& group) -> task<> {
            for (outcome& each : told) group.spawn(write_and_tell(pair.stream, "x", each));
            co_await settle();
            for (std::size_t at = 0; at < told.size(); ++at) CHECK(told[at].done == (at < 10));
            (void)pair.peer.read_now();
            co_await until([&] {
                (void)pair.peer.read_now();
                return told.back().done;
            });
        });
    });
}

TRANSPORT_TEST_CASE("a_message_larger_than_the_high_water_mark_is_taken") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        pair.stream.set_send_marks(tight);
        const std::string text = random_text(1'000'000, 2);
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(write_text(pair.stream, text));
            const std::string all = co_await read_plain(pair.peer, text.size());
            CHECK((all == text));
        });
    });
}

TRANSPORT_TEST_CASE("sends_and_writes_share_one_order") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        std::string expected;
        outcome sent[50];
        outcome written[50];
        co_await scope([&](task_group& group) -> task<> {
            for (int at = 0; at < 50; ++at) {
                const std::string letter(200, static_cast<char>('A' + at));
                group.spawn(write_and_tell(pair.stream, letter, written[at]));
                group.spawn([](auto& to, std::string text, outcome& told) -> task<> {
                    co_await send_and_tell(to, text, told);
                }(pair.stream, letter, sent[at]));
                expected += letter + letter;
            }
            const std::string all = co_await read_plain(pair.peer, expected.size());
            CHECK((all == expected));
        });
        for (const outcome& each : sent) CHECK_FALSE(each.error);
        for (const outcome& each : written) CHECK_FALSE(each.error);
    });
}

TRANSPORT_TEST_CASE("a_failure_shows_at_the_next_write_flush_and_close") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("lost"sv));
        co_await settle();
        pair.peer.reset();
        const std::error_code flushed = error_of(co_await pair.stream.flush());
        CHECK((flushed == std::errc::broken_pipe || flushed == std::errc::connection_reset));
        const auto written = co_await pair.stream.write("more"sv);
        CHECK(error_of(written) == flushed);
        const auto again = co_await pair.stream.flush();
        CHECK(error_of(again) == flushed);
        const auto closed = co_await pair.stream.close();
        CHECK(error_of(closed) == flushed);
        const auto late = co_await pair.stream.write("more"sv);
        CHECK(error_of(late) == errc::closed);
    });
}

TRANSPORT_TEST_CASE("a_failure_and_a_close_resume_the_writers_that_wait") {
    const bool failure = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [failure]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks(tight);
        co_await congest(pair);
        outcome waits;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(write_and_tell(pair.stream, std::string(2000, 'a'), waits));
            co_await settle();
            CHECK_FALSE(waits.done);
            if (failure)
                pair.peer.reset();
            else
                pair.stream.abort();
        });
        if (failure)
            CHECK((waits.error == std::errc::broken_pipe || waits.error == std::errc::connection_reset));
        else
            CHECK(waits.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("a_cancelled_writer_takes_back_what_is_still_whole_in_the_queue") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks(tight);
        constexpr std::size_t size = 1'000'000;
        outcome begun;
        outcome queued;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(write_and_tell(pair.stream, std::string(size, 'a'), begun));
            co_await settle();
            group.spawn(write_and_tell(pair.stream, "b", queued));
            co_await settle();
            CHECK_FALSE(begun.done);
            CHECK_FALSE(queued.done);
            group.cancel();
        });
        CHECK(queued.error == errc::cancelled);
        CHECK_FALSE(begun.error); // a part of it is on the wire: written
        pair.stream.set_send_marks({.high_bytes = 2 * size, .low_bytes = size});
        must(co_await pair.stream.write("c"sv));
        const std::string all = co_await read_plain(pair.peer, size + 1);
        CHECK((all == std::string(size, 'a') + "c"));
    });
}

TRANSPORT_TEST_CASE("a_writer_that_dies_leaves_its_message") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks(tight);
        const std::size_t before = co_await congest(pair);
        {
            task_group dying(co_await this_scope{});
            outcome never;
            dying.spawn(write_and_tell(pair.stream, std::string(1500, 'a'), never));
            co_await settle();
            CHECK_FALSE(never.done);
        }
        const std::string all = co_await read_plain(pair.peer, before + 1500);
        CHECK(all.substr(before) == std::string(1500, 'a'));
    });
}

TRANSPORT_TEST_CASE("what_was_written_is_sent_though_the_stream_is_destroyed") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::string text = random_text(100'000, 3);
        must(co_await pair.stream.write(text));
        pair.stream = {};
        const std::string all = co_await read_plain_to_end(pair.peer);
        CHECK((all == text));
    });
}

TRANSPORT_TEST_CASE("a_writer_that_waits_has_written_when_the_stream_is_destroyed") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks(tight);
        const std::size_t before = co_await congest(pair);
        outcome waits;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(write_and_tell(pair.stream, std::string(2000, 'a'), waits));
            co_await settle();
            pair.stream = {};
        });
        CHECK_FALSE(waits.error);
        const std::string all = co_await read_plain_to_end(pair.peer);
        CHECK(all.substr(before) == std::string(2000, 'a'));
    });
}

TRANSPORT_TEST_CASE("a_writer_that_must_not_wait_is_told_when_the_queue_is_full") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        pair.stream.set_send_marks(tight);
        const std::size_t before = co_await congest(pair);
        const shared_message message(std::string(600, 'm'));
        must(pair.stream.try_write(message));
        must(pair.stream.try_write(message));
        CHECK(error_of(pair.stream.try_write(message)) == errc::queue_full);
        CHECK(error_of(pair.stream.try_write(message)) == std::errc::operation_would_block);
        CHECK(pair.stream.unsent() == 1200);
        std::string all = co_await read_plain(pair.peer, before + 1200);
        must(co_await pair.stream.flush());
        must(pair.stream.try_write(message));
        const std::string rest = co_await read_plain(pair.peer, 600);
        CHECK((all + rest).substr(before) == std::string(1800, 'm'));
        pair.stream.abort();
        CHECK(error_of(pair.stream.try_write(message)) == errc::closed);
    });
}

TEST_CASE("an_empty_write_does_not_hold_up_the_close_of_a_destroyed_stream", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        must(co_await pair.stream.write(""sv));
        pair.stream = {};
        co_await until([] { return executor::current()->stats().pending_closes == 0; });
        // An orderly end; a close that ran into its limit would have reset the connection.
        char byte = 0;
        CHECK(::recv(pair.peer.get(), &byte, 1, MSG_DONTWAIT) == 0);
    });
}

TEST_CASE("an_aborted_stream_resets_its_peer_and_fails_what_is_queued", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        co_await congest(pair);
        outcome sent;
        co_await scope([&](task_group& group) -> task<> {
            must(co_await pair.stream.write(std::string(5000, 'w')));
            group.spawn(send_and_tell(pair.stream, "s", sent));
            co_await settle();
            pair.stream.abort();
        });
        CHECK(sent.error == errc::closed);
        co_await until([] { return executor::current()->stats().pending_closes == 0; });
        int error = 0;
        socklen_t length = sizeof error;
        ::getsockopt(pair.peer.get(), SOL_SOCKET, SO_ERROR, &error, &length);
        CHECK(error == ECONNRESET);
    });
}

TRANSPORT_TEST_CASE("try_takes_sends_writes_and_receives", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        const auto relay = [](auto& stream) -> task<result<std::size_t>> {
            buffer chunk = co_await try_(stream.receive());
            co_await try_(stream.write("got "sv));
            const std::size_t sent = co_await try_(stream.send(std::move(chunk)));
            co_await try_(stream.send("!"s));
            co_await try_(stream.flush());
            co_return sent;
        };
        CHECK(pair.peer.send("it"));
        const std::size_t relayed = must(co_await relay(pair.stream));
        CHECK(relayed == 2);
        CHECK(pair.peer.read_now() == "got it!");
        ::shutdown(pair.peer.get(), SHUT_WR);
        const std::size_t at_the_end = must(co_await relay(pair.stream));
        CHECK(at_the_end == 0); // the end of the stream is an empty message
        pair.stream.abort();
        const auto closed = co_await relay(pair.stream);
        CHECK(error_of(closed) == errc::closed);
    });
}

TEST_CASE("a_written_message_is_shared_not_copied") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        const std::string text(10'000, 's');
        const char* bytes = text.data();
        const shared_message shared(text);
        CHECK(shared.text().data() != bytes);
        const shared_message copy = shared; // NOLINT(performance-unnecessary-copy-initialization): the point
        CHECK(copy.text().data() == shared.text().data());
        for (int count = 0; count < 3; ++count) must(co_await pair.stream.write(shared));
        const std::string all = co_await read_plain(pair.peer, 30'000);
        CHECK((all == std::string(30'000, 's')));
    });
}
