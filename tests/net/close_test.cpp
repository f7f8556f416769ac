// Closing: within a limit, and so that a peer which still sends gets the last message.
#include "../runtime/forwarding_kernel.hpp"
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<> close_and_tell(Stream& closing, duration limit, outcome& told) {
    const auto closed = co_await closing.close(limit);
    told = {.done = true, .error = error_of(closed)};
}

// Linux, whose clock the test puts forward.
class clock_that_jumps final : public forwarding_kernel {
  public:
    duration ahead{};
    time_point now() noexcept override { return forwarding_kernel::now() + ahead; }
};

} // namespace

TRANSPORT_TEST_CASE("a_close_aborts_when_its_limit_has_passed") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        const auto closed = co_await pair.stream.close(1ms);
        CHECK(error_of(closed) == errc::timed_out);
        CHECK(error_of(closed) == std::errc::timed_out);
        CHECK_FALSE(pair.stream.is_open());
        if (over_any::tcp) CHECK(how_it_ended(pair.peer) == ECONNRESET);
    });
}

TRANSPORT_TEST_CASE("a_close_without_any_time_sends_what_the_socket_takes_at_once") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        must(co_await pair.stream.write("last words"sv));
        const auto closed = co_await pair.stream.close(0s);
        CHECK_FALSE(error_of(closed));
        const std::string wire = co_await read_plain_to_end(pair.peer);
        CHECK(wire == "last words");
        CHECK(how_it_ended(pair.peer) == 0);
    });
}

TRANSPORT_TEST_CASE("a_close_sends_what_others_wait_for_and_takes_nothing_new") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::string large = random_text(100'000, 1);
        outcome closed;
        std::string wire;
        std::size_t sent = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, const std::string& text, std::size_t& size) -> task<> {
                size = must(co_await to.send(text));
            }(pair.stream, large, sent));
            co_await settle(); // it starts
            must(co_await pair.stream.write("behind it"sv));
            group.spawn(close_and_tell(pair.stream, patience, closed));
            co_await settle();
            CHECK_FALSE(closed.done);
            CHECK_FALSE(pair.stream.is_open());
            const auto late = co_await pair.stream.send("late"sv);
            CHECK(error_of(late) == errc::closed);
            const auto again = co_await pair.stream.close();
            CHECK(error_of(again) == errc::closed);
            wire = co_await read_plain_to_end(pair.peer);
        });
        CHECK(sent == large.size());
        CHECK((wire == large + "behind it"));
        CHECK_FALSE(closed.error);
    });
}

TRANSPORT_TEST_CASE("after_a_close_nothing_is_received_not_even_an_end_that_was_there_before", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        ::shutdown(pair.peer.get(), SHUT_WR);
        const buffer end = must(co_await pair.stream.receive());
        CHECK(end.empty());
        co_await pair.stream.close();
        const auto after = co_await pair.stream.receive();
        CHECK(error_of(after) == errc::closed);
    });
}

CONNECTION_TEST_CASE("after_its_own_half_close_a_stream_refuses_messages_and_closes_without_an_error") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        must(co_await pair.near.write("last"sv));
        must(co_await pair.near.shutdown());
        const auto sent = co_await pair.near.send("late"sv);
        CHECK(error_of(sent) == errc::closed);
        const auto written = co_await pair.near.write("late"sv);
        CHECK(error_of(written) == errc::closed);
        const auto tried = pair.near.try_write(shared_message(std::string("late")));
        CHECK(error_of(tried) == errc::closed);
        must(co_await pair.near.flush());
        must(co_await pair.near.shutdown());
        const std::string wire = co_await receive_to_end(pair.far);
        CHECK(wire == "last");
        co_await send_all(pair.far, "answer");
        co_await expect(pair.near, "answer");
        must(co_await pair.near.close());
    });
}

TRANSPORT_TEST_CASE("a_half_close_loses_nothing_that_others_queue_meanwhile") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to) -> task<> {
                for (const auto text : {"one"sv, "two"sv, "three"sv}) must(co_await to.send(text));
            }(pair.near));
            co_await pass(); // the first one is queued
            must(co_await pair.near.shutdown());
            wire = co_await receive_to_end(pair.far);
        });
        CHECK(wire == "onetwothree");
    });
}

TRANSPORT_TEST_CASE("a_cancelled_close_aborts_what_was_not_sent") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        outcome closed;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(close_and_tell(pair.stream, patience, closed));
            co_await settle();
            CHECK_FALSE(closed.done);
            group.cancel();
        });
        CHECK(closed.error == errc::cancelled);
    });
}

TRANSPORT_TEST_CASE("an_abort_ends_a_close_that_waits") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        outcome closed;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(close_and_tell(pair.stream, patience, closed));
            co_await settle();
            pair.stream.abort();
        });
        CHECK(closed.error == errc::closed);
    });
}

// A reset would overtake the response where the peer is slow to read it.
TEST_CASE("a_peer_that_still_sends_gets_the_last_message_and_an_orderly_end") {
    const bool destroyed = GENERATE(false, true);
    const bool receiving = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        if (receiving) { // the multishot receive is armed
            CHECK(pair.peer.send("request"));
            co_await expect(pair.stream, "request");
        }
        CHECK(pair.peer.send("more than was asked for"));
        co_await settle();
        outcome closed;
        std::string response;
        co_await scope([&](task_group& group) -> task<> {
            if (destroyed) {
                must(co_await pair.stream.send("too much"sv));
                pair.stream = {};
            } else {
                must(co_await pair.stream.write("too much"sv));
                group.spawn(close_and_tell(pair.stream, patience, closed));
            }
            co_await settle();
            CHECK(pair.peer.send("and more")); // no reset has come
            response = co_await read_plain_to_end(pair.peer);
            CHECK(how_it_ended(pair.peer) == 0);
            pair.peer.close(); // which ends the lingering long before its limit
        });
        CHECK(response == "too much");
        CHECK_FALSE(closed.error);
    });
}

TEST_CASE("a_peer_that_never_ends_holds_a_connection_for_a_second_and_no_longer_than_the_limit", "[linux]") {
    const duration limit = GENERATE(duration(200ms), duration(1h));
    clock_that_jumps behind;
    executor home(options_for(GENERATE(both_modes())), behind);
    home.run([](clock_that_jumps& clock, duration longest) -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        CHECK(pair.peer.send("more than was asked for"));
        co_await settle();
        must(co_await pair.stream.send("too much"sv));
        outcome closed;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(close_and_tell(pair.stream, longest, closed));
            co_await until([&] { return !pair.stream.is_open(); });
            clock.ahead = std::min(longest, duration(1s)) + 1ms;
            co_await until([&] { return closed.done; });
        });
        CHECK_FALSE(closed.error);
    }(behind, limit));
    check_baseline(home);
}

TEST_CASE("closes_that_fill_the_submission_queue_do_not_put_run_to_sleep_for_ever", "[linux]") {
    // The read for wake-ups finds room only when the closes have been submitted, which ends them.
    struct watchful final : forwarding_kernel {
        bool sleeps_for_ever = false;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            sleeps_for_ever |= wait.completions != 0 && wait.timeout == nullptr;
            return forwarding_kernel::enter(ring, to_submit, {}, flags);
        }
    } kernel;
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 2;
    executor home(options, kernel);
    home.run([]() -> task<> {
        const auto first = must(unix_listener::bind(over_unix::somewhere()));
        const auto second = must(unix_listener::bind(over_unix::somewhere()));
        co_return;
    }());
    CHECK_FALSE(kernel.sleeps_for_ever);
    check_baseline(home);
}
