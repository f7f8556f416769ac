#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <array>
#include <atomic>
#include <latch>
#include <stop_token>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<result<int>> reads(const pipe_ends& from, std::span<char> memory) {
    co_return co_await read_into(from.reading(), memory);
}

} // namespace

TEST_CASE("a_task_can_ask_whether_it_was_cancelled") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        bool before = true;
        bool after = false;
        int rounds = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](bool& first, bool& second, int& count) -> task<> {
                first = co_await cancelled();
                for (;;) { // a task that computes and never waits
                    second = co_await cancelled();
                    if (second) break;
                    ++count;
                    co_await yield();
                }
            }(before, after, rounds));
            for (int turn = 0; turn < 3; ++turn) co_await next_turn{};
            group.cancel();
        });
        CHECK_FALSE(before);
        CHECK(after);
        CHECK(rounds >= 3);
    }());
    check_baseline(used);
}

TEST_CASE("a_shielded_section_ends_as_if_nobody_had_cancelled") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    pipe_ends pipe;
    const bool cancelled_before = GENERATE(false, true);
    used.run([](pipe_ends& from, bool cancelled_first) -> task<> {
        std::array<char, 16> memory{};
        result<int> operation = 0;
        result<int> child = 0;
        result<void> unprotected;
        co_await scope([&](task_group& group) -> task<> {
            if (cancelled_first) group.cancel();
            group.spawn([](auto& source, auto into, auto& first, auto& second, auto& third) -> task<> {
                first = co_await shield(read_into(source.reading(), into));
                second = co_await shield(reads(source, into));
                third = co_await sleep(1h);
            }(from, std::span(memory), operation, child, unprotected));
            co_await yield();
            group.cancel();
            for (int turn = 0; turn < 3; ++turn) co_await next_turn{};
            CHECK(operation == 0);
            from.write("one");
            const auto first_ended = [&] { return operation != 0; };
            while (!first_ended()) co_await next_turn{};
            from.write("second");
        });
        CHECK(operation == 3);
        CHECK(child == 6);
        CHECK(unprotected == failure(errc::cancelled));
    }(pipe, cancelled_before));
    check_baseline(used);
}

TEST_CASE("a_shield_keeps_deadlines_out_and_can_have_its_own") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        const result<void> slept = co_await timeout(1s, []() -> task<result<void>> {
            co_return co_await shield([]() -> task<result<void>> {
                const auto seen = co_await nearest_deadline();
                CHECK_FALSE(seen.has_value());
                co_return co_await sleep(10s);
            }());
        }());
        CHECK(slept.has_value());
        CHECK(time.now() - begin >= 10s);
        const result<void> limited = co_await timeout(1s, shield(timeout(3s, sleep(1h))));
        CHECK(limited == failure(errc::timed_out));
        CHECK(time.now() - begin >= 13s);
        CHECK(time.now() - begin < 14s);
    }(clock));
    check_baseline(used);
}

TEST_CASE("a_stop_token_cancels_from_any_thread", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    const bool of_a_task = GENERATE(false, true);
    for (int round = 0; round < 50; ++round) {
        std::stop_source source;
        std::latch waiting(1);
        std::thread stopper([&] {
            waiting.wait();
            source.request_stop();
        });
        used.run([](auto& from, std::stop_token token, std::latch& ready, bool task_) -> task<> {
            std::array<char, 16> memory{};
            ready.count_down();
            result<int> read = 0;
            if (task_)
                read = co_await cancel_on(token, reads(from, memory));
            else
                read = co_await cancel_on(token, read_into(from.reading(), memory));
            CHECK(read == failure(errc::cancelled));
            const bool whole_task = co_await cancelled();
            CHECK_FALSE(whole_task);
        }(pipe, source.get_token(), waiting, of_a_task));
        stopper.join();
    }
    used.run_posts();
    check_baseline(used);
}

TEST_CASE("a_stopped_token_starts_nothing") {
    executor used({}, test_kernel());
    pipe_ends pipe;
    pipe.write("data");
    used.run([](auto& from) -> task<> {
        std::array<char, 16> memory{};
        std::stop_source source;
        source.request_stop();
        const result<int> read = co_await cancel_on(source.get_token(), read_into(from.reading(), memory));
        CHECK(read == failure(errc::cancelled));
        const result<int> none = co_await cancel_on(std::stop_token(), read_into(from.reading(), memory));
        CHECK(none == 4);
    }(pipe));
    check_baseline(used);
}

TEST_CASE("a_token_that_is_stopped_too_late_does_nothing", "[linux]") {
    executor used({}, test_kernel());
    pipe_ends pipe;
    pipe.write("data");
    std::stop_source source;
    used.run([](executor& home, auto& from, std::stop_source& stop) -> task<> {
        std::array<char, 16> memory{};
        result<int> read = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& source_, auto into, auto token, auto& outcome) -> task<> {
                outcome = co_await cancel_on(token, read_into(source_.reading(), into));
            }(from, std::span(memory), stop.get_token(), read));
            co_await yield();
            co_await everything_reaped{};
            // The request is on its way when the operation's task goes on.
            std::thread([&stop] { stop.request_stop(); }).join();
        });
        CHECK(read == 4);
        CHECK(home.stats().live_tasks == 1);
    }(used, pipe, source));
    used.run_posts();
    check_baseline(used);
}

TEST_CASE("a_task_hands_its_cancellation_to_code_that_takes_a_stop_token") {
    executor used({}, test_kernel());
    const bool cancelled_before = GENERATE(false, true);
    used.run([](bool before) -> task<> {
        bool called = false;
        bool stopped_at_first = false;
        co_await scope([&](task_group& group) -> task<> {
            if (before) group.cancel();
            group.spawn([](bool& first, bool& told) -> task<> {
                linked_stop_source source = co_await link_stop_source();
                first = source.token().stop_requested();
                const std::stop_callback callback(source.token(), [&told] { told = true; });
                (void)co_await sleep(1h);
            }(stopped_at_first, called));
            co_await yield();
            CHECK(called == before);
            group.cancel();
            CHECK(called);
        });
        CHECK(stopped_at_first == before);
    }(cancelled_before));
    check_baseline(used);
}

TEST_CASE("who_is_told_of_a_cancellation_may_destroy_a_group_that_is_still_to_be_told") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        bool called = false;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](bool& told) -> task<> {
                auto pool = std::make_unique<task_group>(co_await this_scope{});
                pool->spawn([]() -> task<> { (void)co_await sleep(1h); }());
                const auto uses = [](std::unique_ptr<task_group>& given, bool& was_told) -> task<> {
                    linked_stop_source source = co_await link_stop_source();
                    const std::stop_callback callback(source.token(), [&] {
                        given.reset();
                        was_told = true;
                    });
                    (void)co_await sleep(1h);
                };
                (void)co_await timeout(1h, uses(pool, told));
            }(called));
            co_await yield();
            co_await yield();
            group.cancel();
            CHECK(called);
        });
    }());
    check_baseline(used);
}
