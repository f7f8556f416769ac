#include "support.hpp"

#include <chainring/runtime/timer_wheel.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <vector>

using namespace chainring;
using namespace std::chrono_literals;

namespace {

constexpr duration tick{1 << 16};

struct test_timer final : timer {
    int fired = 0;
    time_point deadline;
    void fire() noexcept override { ++fired; }
};

// On no tick.
constexpr time_point start{std::chrono::seconds(1'000'000) + 777ns};

} // namespace

TEST_CASE("a_timer_fires_once_and_not_before_its_deadline") {
    timer_wheel wheel(start);
    for (const duration delay :
         {duration(1), tick - 1ns, tick, 64 * tick, 4096 * tick + 5ns, duration(24h * 365)}) {
        CAPTURE(delay.count());
        timer_wheel fresh(start);
        test_timer one;
        fresh.arm(one, start + delay);
        CHECK(one.armed());
        fresh.advance(start + delay - 1ns);
        CHECK(one.fired == 0);
        fresh.advance(start + delay + tick);
        CHECK(one.fired == 1);
        CHECK_FALSE(one.armed());
        fresh.advance(start + delay + 1000 * tick);
        CHECK(one.fired == 1);
    }
}

TEST_CASE("a_deadline_that_has_passed_fires_on_the_next_advance") {
    timer_wheel wheel(start);
    test_timer one;
    wheel.arm(one, time_point{});
    time_point at;
    REQUIRE(wheel.next(at));
    CHECK(at <= start);
    CHECK(one.fired == 0);
    wheel.advance(start);
    CHECK(one.fired == 1);
}

TEST_CASE("an_empty_wheel_has_no_next_time") {
    timer_wheel wheel(start);
    time_point at;
    CHECK_FALSE(wheel.next(at));
    {
        test_timer one;
        wheel.arm(one, start + 1h);
        CHECK(wheel.next(at));
        one.cancel_timer();
        CHECK_FALSE(wheel.next(at));
        wheel.arm(one, start + 2h);
        CHECK(wheel.next(at));
    } // destroyed while armed
    CHECK_FALSE(wheel.next(at));
    wheel.advance(start + 3h);
    CHECK_FALSE(wheel.next(at));
}

TEST_CASE("the_end_of_time_is_a_deadline_like_others") {
    timer_wheel wheel(start);
    test_timer one;
    wheel.arm(one, time_point::max());
    time_point at;
    REQUIRE(wheel.next(at));
    CHECK(at > start); // or an executor would spin
    wheel.advance(start + std::chrono::hours(24 * 365 * 100));
    CHECK(one.fired == 0);
    REQUIRE(wheel.next(at));
    CHECK(at > start + std::chrono::hours(24 * 365 * 100));
}

TEST_CASE("what_a_firing_timer_arms_waits_for_the_next_advance") {
    struct rearming final : timer {
        explicit rearming(timer_wheel& given)
            : wheel(given) {}
        void fire() noexcept override {
            ++fired;
            wheel.arm(*this, time_point{});
        }
        timer_wheel& wheel;
        int fired = 0;
    };
    timer_wheel wheel(start);
    rearming again(wheel);
    wheel.arm(again, start);
    for (int turn = 1; turn <= 3; ++turn) {
        wheel.advance(start + turn * tick);
        CHECK(again.fired == turn);
    }
}

TEST_CASE("a_firing_timer_may_cancel_and_destroy_others_that_are_due") {
    struct destroys_others final : timer {
        explicit destroys_others(std::vector<std::unique_ptr<test_timer>>& given)
            : others(given) {}
        void fire() noexcept override { others.clear(); }
        std::vector<std::unique_ptr<test_timer>>& others;
    };
    timer_wheel wheel(start);
    std::vector<std::unique_ptr<test_timer>> others;
    destroys_others first(others);
    wheel.arm(first, start + tick);
    for (int i = 0; i < 10; ++i) {
        others.push_back(std::make_unique<test_timer>());
        wheel.arm(*others.back(), start + tick);
    }
    wheel.advance(start + 3 * tick);
    CHECK(others.empty());
    time_point at;
    CHECK_FALSE(wheel.next(at));
}

TEST_CASE("timers_fire_in_the_order_of_their_deadlines") {
    struct recording final : timer {
        std::vector<int>* order = nullptr;
        int number = 0;
        void fire() noexcept override { order->push_back(number); }
    };
    timer_wheel wheel(start);
    std::vector<int> order;
    std::vector<recording> timers(200);
    std::vector<int> shuffled(timers.size());
    for (std::size_t i = 0; i < timers.size(); ++i) shuffled[i] = static_cast<int>(i);
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(3));
    for (const int number : shuffled) {
        auto& armed = timers[static_cast<std::size_t>(number)];
        armed.order = &order;
        armed.number = number;
        wheel.arm(armed, start + number * 3 * tick);
    }
    wheel.advance(start + 1000 * tick);
    CHECK(std::ranges::is_sorted(order));
    CHECK(order.size() == timers.size());
}

// Against a sorted list of what is armed: deadlines over all levels of the wheel, in random order with
// cancellations and re-arming, and a clock that goes in small and in very large steps.
TEST_CASE("the_wheel_agrees_with_a_sorted_list") {
    const auto seed = GENERATE(range(1U, chainring::test::with_sanitizer ? 11U : 41U));
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    auto below = [&](std::int64_t limit) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    // Uniform in its magnitude, from nanoseconds up to most of a year.
    auto any_duration = [&] { return duration(below(std::int64_t{1} << (1 + below(54)))); };

    time_point now{duration(below(std::int64_t{1} << 62))};
    timer_wheel wheel(now);
    std::vector<std::unique_ptr<test_timer>> timers;
    for (int i = 0; i < 300; ++i) timers.push_back(std::make_unique<test_timer>());
    std::multimap<time_point, test_timer*> armed;
    auto forget = [&](test_timer& gone) {
        for (auto [at, last] = armed.equal_range(gone.deadline); at != last; ++at) {
            if (at->second == &gone) {
                armed.erase(at);
                return;
            }
        }
    };

    int fired = 0;
    for (int step = 0; step < 3000; ++step) {
        test_timer& chosen =
            *timers[static_cast<std::size_t>(below(static_cast<std::int64_t>(timers.size())))];
        switch (below(4)) {
        case 0:
        case 1: // arm, or arm again with another deadline
            if (chosen.armed()) forget(chosen);
            chosen.deadline = below(20) == 0 ? now - any_duration() / 2 : now + any_duration();
            wheel.arm(chosen, chosen.deadline);
            armed.emplace(chosen.deadline, &chosen);
            break;
        case 2:
            if (chosen.armed()) {
                chosen.cancel_timer();
                forget(chosen);
            }
            break;
        case 3: {
            time_point at;
            const bool some = wheel.next(at);
            REQUIRE(some == !armed.empty());
            if (some) {
                // Never later than the tick after the first deadline, up to which a firing may be late.
                REQUIRE(at < std::max(armed.begin()->first, now) + tick);
            }
            // As an executor does: to the time that was asked for, or to some time before.
            now = some && below(2) == 0 ? std::max(now, at) : now + any_duration() / 8;
            for (auto& each : timers) each->fired = 0;
            wheel.advance(now);
            for (auto& each : timers) {
                if (each->fired == 0) continue;
                REQUIRE(each->fired == 1);
                REQUIRE(each->deadline <= now); // never early
                REQUIRE_FALSE(each->armed());
                forget(*each);
                ++fired;
            }
            // Whatever is left is due after now, or in the tick that now is in.
            if (!armed.empty()) REQUIRE(armed.begin()->first > now - tick);
            break;
        }
        default: break;
        }
        std::size_t count = 0;
        for (auto& each : timers) count += each->armed();
        REQUIRE(count == armed.size());
    }
    CHECK(fired > 50);
}

TEST_CASE("going_from_next_to_next_fires_everything_without_idle_steps_by_the_thousand") {
    std::mt19937_64 random(9);
    timer_wheel wheel(start);
    std::vector<std::unique_ptr<test_timer>> timers;
    for (int i = 0; i < 1000; ++i) {
        timers.push_back(std::make_unique<test_timer>());
        wheel.arm(*timers.back(), start + duration(random() % (std::uint64_t{1} << (random() % 60))));
    }
    int steps = 0;
    time_point at;
    time_point last = start;
    while (wheel.next(at)) {
        REQUIRE(at >= last - tick);
        last = at;
        wheel.advance(at);
        ++steps;
    }
    CHECK(std::ranges::all_of(timers, [](const auto& each) { return each->fired == 1; }));
    // A timer moves down at most once a level.
    CHECK(steps <= 8 * 1000);
}
