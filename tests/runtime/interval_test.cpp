#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <stdexcept>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

// When ticks were due that a consumer got who missed two and a half of them after the first, in periods.
task<std::vector<double>> ticks(virtual_clock& time, missed_ticks policy) {
    std::vector<double> all;
    const time_point begin = time.now();
    interval every(begin + 1s, 1s, policy);
    for (int count = 0; count < 6; ++count) {
        const result<time_point> due = co_await every.tick();
        if (!due) break;
        CHECK(time.now() >= *due);
        all.push_back(std::chrono::duration<double>(*due - begin).count());
        if (count == 0) time.pass(2500ms - (time.now() - *due));
    }
    co_return all;
}

} // namespace

TEST_CASE("an_interval_ticks_at_fixed_times_however_long_the_work_takes") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        interval every(100ms);
        for (int count = 1; count <= 1000; ++count) {
            const result<time_point> due = co_await every.tick();
            REQUIRE(due.has_value());
            CHECK(*due == begin + count * 100ms);
            CHECK(time.now() >= *due);
            CHECK(time.now() - *due < 1ms);
            time.pass(37ms);
        }
    }(clock));
    check_baseline(used);
}

TEST_CASE("missed_ticks_are_made_up_for_left_out_or_put_off") {
    virtual_clock clock;
    executor used({}, clock);
    const std::vector<double> burst = used.run(ticks(clock, missed_ticks::burst));
    CHECK(burst == std::vector<double>{1, 2, 3, 4, 5, 6});
    const std::vector<double> skip = used.run(ticks(clock, missed_ticks::skip));
    CHECK(skip == std::vector<double>{1, 2, 4, 5, 6, 7});
    const std::vector<double> delay = used.run(ticks(clock, missed_ticks::delay));
    REQUIRE(delay.size() == 6);
    CHECK(delay[1] == 2);
    CHECK(delay[2] >= 4.5);
    CHECK(delay[2] < 4.6);
    CHECK(delay[5] >= 7.5);
    CHECK(delay[5] < 7.6);
    check_baseline(used);
}

TEST_CASE("a_tick_that_was_cancelled_is_still_to_come") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        interval every(10s);
        const result<time_point> early = co_await timeout(1s, every.tick());
        CHECK(early == failure(errc::timed_out));
        const result<time_point> due = co_await every.tick();
        CHECK(due == begin + 10s);
    }(clock));
    check_baseline(used);
}

TEST_CASE("an_interval_at_the_end_of_time_never_ticks_and_one_from_its_beginning_ticks_at_once") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        interval never(duration::max());
        const result<time_point> none = co_await timeout(24h, never.tick());
        CHECK(none == failure(errc::timed_out));
        const missed_ticks policies[] = {missed_ticks::skip, missed_ticks::delay};
        for (const missed_ticks policy : policies) {
            interval old(time_point::min(), 1h, policy);
            const result<time_point> first = co_await timeout(1s, old.tick());
            CHECK(first.has_value());
            const result<time_point> second = co_await timeout(1s, old.tick());
            CHECK(second == failure(errc::timed_out));
        }
    }());
    check_baseline(used);
}

TEST_CASE("a_period_must_be_positive") {
    CHECK_THROWS_AS(interval(0s), std::invalid_argument);
    CHECK_THROWS_AS(interval(-1s), std::invalid_argument);
}
