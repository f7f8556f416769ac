#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>

#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

constexpr duration wheel_tick{1 << 16};

} // namespace

TEST_CASE("a_sleep_ends_not_before_its_time_and_within_a_tick_of_it") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    used.run([](kernel& time) -> task<> {
        for (const duration delay :
             {duration(1), duration(50us), duration(1ms), duration(77s), duration(24h * 400)}) {
            const time_point begin = time.now();
            const result<void> slept = co_await sleep(delay);
            CHECK(slept.has_value());
            CHECK(time.now() - begin >= delay);
            CHECK(time.now() - begin <= delay + wheel_tick);
        }
    }(clock));
    check_baseline(used);
}

TEST_CASE("on_the_real_clock_a_sleep_is_not_too_short", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([]() -> task<> {
        const time_point begin = test_kernel().now();
        const result<void> slept = co_await sleep(2ms);
        CHECK(slept.has_value());
        CHECK(test_kernel().now() - begin >= 2ms);
    }());
}

TEST_CASE("sleep_until_ends_at_a_point_in_time") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](kernel& time) -> task<> {
        const time_point deadline = time.now() + 5s;
        const result<void> slept = co_await sleep_until(deadline);
        CHECK(slept.has_value());
        CHECK(time.now() >= deadline);
        CHECK(time.now() <= deadline + wheel_tick);
    }(clock));
}

TEST_CASE("a_delay_of_nothing_and_a_time_in_the_past_end_in_the_next_turn") {
    virtual_clock clock;
    executor used({}, clock);
    const duration delay = GENERATE(0ns, -1ns, -1h, duration::min());
    used.run([](virtual_clock& time, executor& home, duration delay_) -> task<> {
        const time_point begin = time.now();
        const auto turns = home.stats().turns;
        const result<void> first = co_await sleep(delay_);
        CHECK(first.has_value());
        const result<void> second = co_await sleep_until(begin);
        CHECK(second.has_value());
        const result<void> third = co_await sleep_until(time_point{});
        CHECK(third.has_value());
        CHECK(time.now() == begin);
        CHECK(home.stats().turns == turns + 3);
    }(clock, used, delay));
}

TEST_CASE("a_delay_counts_from_the_sleep_and_not_from_the_beginning_of_the_turn") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        co_await yield();
        time.pass(10s); // the task computes for ten seconds
        const time_point begin = time.now();
        const result<void> slept = co_await sleep(1s);
        CHECK(slept.has_value());
        CHECK(time.now() - begin >= 1s);
    }(clock));
}

TEST_CASE("the_longest_sleeps_last_and_let_the_executor_sleep") {
    virtual_clock clock;
    executor used({}, clock);
    const bool until = GENERATE(false, true);
    used.run([](virtual_clock& time, bool until_) -> task<> {
        task_group group(co_await this_scope{});
        bool cancelled = false;
        group.spawn([](bool& flag, bool until__) -> task<> {
            const result<void> slept =
                until__ ? co_await sleep_until(time_point::max()) : co_await sleep(std::chrono::hours::max());
            flag = slept == failure(errc::cancelled);
        }(cancelled, until_));
        const result<void> slept = co_await sleep(24h * 365);
        CHECK(slept.has_value());
        CHECK_FALSE(cancelled);
        // One wait for each level of the wheel that the year's timer goes down.
        CHECK(time.timed_waits < 16);
        group.cancel();
        co_await group.join();
        CHECK(cancelled);
    }(clock, until));
    check_baseline(used);
}

TEST_CASE("sleeping_tasks_wake_in_the_order_of_their_deadlines") {
    virtual_clock clock;
    executor used({}, clock);
    std::vector<int> order;
    used.run([](std::vector<int>& order_) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (const int seconds : {5, 3, 9, 1, 7}) {
                group.spawn([](std::vector<int>& to, int wait) -> task<> {
                    (void)co_await sleep(std::chrono::seconds(wait));
                    to.push_back(wait);
                }(order_, seconds));
            }
            co_return;
        });
    }(order));
    CHECK(order == std::vector<int>{1, 3, 5, 7, 9});
}

TEST_CASE("ten_thousand_sleeps_cost_no_sqe") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](executor& home) -> task<> {
        const auto before = home.stats().sqes;
        co_await scope([](task_group& group) -> task<> {
            for (int i = 0; i < 10'000; ++i) {
                group.spawn([](int number) -> task<> {
                    (void)co_await sleep(std::chrono::microseconds(number * 37 % 100'000));
                }(i));
            }
            co_return;
        });
        // The one for being woken from outside.
        CHECK(home.stats().sqes <= before + 1);
    }(used));
    check_baseline(used);
}

TEST_CASE("a_cancelled_sleep_ends_at_once") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        task_group group(co_await this_scope{});
        result<void> outcome;
        group.spawn([](result<void>& to) -> task<> { to = co_await sleep(1h); }(outcome));
        co_await yield();
        group.cancel();
        co_await group.join();
        CHECK(outcome == failure(errc::cancelled));
        CHECK(time.now() == begin);
    }(clock));
    check_baseline(used);
}
