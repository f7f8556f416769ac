#include "executors.hpp"
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"

#include <optional>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

TEST_CASE("a_rate_limiter_lets_a_burst_through_and_then_so_many_at_a_time") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        rate_limiter ten_a_second(10, 1s, 3);
        const time_point begin = time.now();
        for (int number = 0; number < 3; ++number) {
            const result<void> at_once = co_await ten_a_second.acquire();
            CHECK(at_once.has_value());
        }
        CHECK(time.now() == begin);
        CHECK_FALSE(ten_a_second.try_acquire());
        for (int number = 1; number <= 5; ++number) {
            const result<void> later = co_await ten_a_second.acquire();
            CHECK(later.has_value());
            CHECK(time.now() - begin >= number * 100ms);
            CHECK(time.now() - begin < number * 100ms + 1ms);
        }
        time.pass(10s);
        CHECK(ten_a_second.try_acquire(3)); // no more than the burst is saved
        CHECK_FALSE(ten_a_second.try_acquire());
        CHECK_FALSE(ten_a_second.try_acquire(4));
        const result<void> too_many = co_await ten_a_second.acquire(4);
        CHECK(too_many.error() == std::errc::invalid_argument);
        CHECK_THROWS_AS(rate_limiter(0, 1s, 1), std::invalid_argument);
        CHECK_THROWS_AS(rate_limiter(1, 0s, 1), std::invalid_argument);
        CHECK_THROWS_AS(rate_limiter(1, 1s, 0), std::invalid_argument);
        CHECK_THROWS_AS(rate_limiter(1, 24h * 365, 200), std::invalid_argument);
    }(clock));
    check_baseline(used);
}

TEST_CASE("tokens_of_who_is_cancelled_or_destroyed_are_for_those_who_ask_afterwards") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        rate_limiter one_a_second(1, 1s, 10);
        CHECK(one_a_second.try_acquire(10));
        const time_point begin = time.now();
        const result<void> late = co_await timeout(500ms, one_a_second.acquire(5));
        CHECK(late == failure(errc::timed_out));
        std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
        destroyed->spawn([](auto& of) -> task<> { (void)co_await of.acquire(5); }(one_a_second));
        co_await everybody_waits();
        destroyed.reset();
        const result<void> acquired = co_await one_a_second.acquire(1);
        CHECK(acquired.has_value());
        CHECK(time.now() - begin >= 1s);
        CHECK(time.now() - begin < 1s + 1ms);
    }(clock));
    check_baseline(used);
}

TEST_CASE("two_executors_together_keep_to_a_rate", "[linux]") {
    rate_limiter limiter(1000, 1s, 5);
    std::atomic<int> acquired = 0;
    const time_point begin = test_kernel().now();
    on_executors(2, [&](int) -> task<> {
        for (int number = 0; number < 25; ++number) {
            const result<void> got = co_await limiter.acquire();
            if (got) ++acquired;
        }
    });
    CHECK(acquired == 50);
    CHECK(test_kernel().now() - begin >= 45ms); // never faster; how much slower is up to the machine
}
