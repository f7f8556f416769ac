#include "runtime/forwarding_kernel.hpp"
#include "runtime/small_stack.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

async_generator<int> counts_to(int to) {
    for (int at = 0; at < to; ++at) co_yield at;
}

async_generator<int> counts_slowly(int to) {
    for (int at = 0; at < to; ++at) {
        const result<void> slept = co_await sleep(1s);
        if (!slept) co_return;
        co_yield at;
    }
}

async_generator<std::string> words() {
    std::string word = "kept";
    co_yield word;
    co_yield word + ", changed by the consumer";
    co_await yield();
    co_yield std::string("temporary");
}

async_generator<int> throws_after(int count) {
    for (int at = 0; at < count; ++at) {
        co_await yield();
        co_yield at;
    }
    throw std::runtime_error("generator");
}

async_generator<int> squares(int to) {
    auto numbers = counts_slowly(to);
    while (const int* number = co_await numbers.next()) co_yield *number** number;
}

} // namespace

TEST_CASE("a_generator_yields_its_values_one_by_one_and_then_nothing") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    used.run([](virtual_clock& time) -> task<> {
        auto numbers = counts_to(3);
        for (int expected = 0; expected < 3; ++expected) {
            const int* number = co_await numbers.next();
            REQUIRE(number != nullptr);
            CHECK(*number == expected);
        }
        for (int again = 0; again < 2; ++again) {
            const int* number = co_await numbers.next();
            CHECK(number == nullptr);
        }
        const time_point begin = time.now();
        auto slow = squares(5);
        std::vector<int> all;
        while (const int* number = co_await slow.next()) all.push_back(*number);
        CHECK(all == std::vector<int>{0, 1, 4, 9, 16});
        CHECK(time.now() - begin >= 5s);
        CHECK(time.now() - begin < 6s);
    }(clock));
    check_baseline(used);
}

TEST_CASE("a_value_may_be_changed_and_temporaries_live_until_the_next_call") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto all = words();
        std::string* word = co_await all.next();
        REQUIRE(word != nullptr);
        CHECK(*word == "kept");
        *word = "new";
        word = co_await all.next();
        REQUIRE(word != nullptr);
        CHECK(*word == "new, changed by the consumer");
        word = co_await all.next();
        REQUIRE(word != nullptr);
        CHECK(*word == "temporary");
        word = co_await all.next();
        CHECK(word == nullptr);
    }());
    check_baseline(used);
}

TEST_CASE("of_a_constant_the_consumer_gets_a_copy") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto twice = []() -> async_generator<std::string> {
            const std::string text = "constant";
            co_yield text;
            co_yield text;
        }();
        std::string* word = co_await twice.next();
        REQUIRE(word != nullptr);
        CHECK(std::exchange(*word, "") == "constant");
        word = co_await twice.next();
        REQUIRE(word != nullptr);
        CHECK(*word == "constant");
    }());
    check_baseline(used);
}

TEST_CASE("an_exception_of_a_generator_ends_it_and_is_the_consumers") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto throwing = throws_after(2);
        int got = 0;
        bool thrown = false;
        try {
            while (co_await throwing.next() != nullptr) ++got;
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(got == 2);
        CHECK(thrown);
        const int* after = co_await throwing.next();
        CHECK(after == nullptr);
    }());
    check_baseline(used);
}

TEST_CASE("cancellation_and_deadlines_of_the_consumer_reach_the_generator") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        const int summed = co_await timeout(3500ms, []() -> task<int> {
            int sum = 0;
            auto numbers = counts_slowly(100);
            while (const int* number = co_await numbers.next()) sum += *number;
            co_return sum;
        }());
        CHECK(summed == 0 + 1 + 2);
    }());
    check_baseline(used);
}

TEST_CASE("a_generator_of_millions_of_values_neither_grows_the_stack_nor_memory") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        constexpr int millions = with_sanitizer ? 1'000'000 : 10'000'000;
        long sum = 0;
        auto numbers = counts_to(millions);
        while (const int* number = co_await numbers.next()) sum += *number;
        CHECK(sum == (millions - 1L) * millions / 2);
    }());
    check_baseline(used);
}

namespace {

async_generator<int> through_generators(int levels) {
    if (levels == 0) {
        co_yield 1;
        (void)co_await no_operation();
        co_yield 2;
        co_return;
    }
    auto below = through_generators(levels - 1);
    while (int* number = co_await below.next()) co_yield *number;
}

} // namespace

TEST_CASE("a_hundred_thousand_generators_within_each_other_do_not_overflow_a_small_stack", "[linux]") {
    constexpr int levels = with_sanitizer ? 10'000 : 100'000;
    int sum = 0;
    run_on_small_stack([&] {
        executor used({}, test_kernel());
        used.run([](int& to) -> task<> {
            auto numbers = through_generators(levels);
            while (const int* number = co_await numbers.next()) to += *number;
        }(sum));
        check_baseline(used);
    });
    CHECK(sum == 3);
}

TEST_CASE("a_generator_that_is_destroyed_where_it_stands_ends_its_operation") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        {
            auto never_started = counts_slowly(1);
            auto between = counts_to(5);
            (void)co_await between.next();
        }
        task_group group(co_await this_scope{});
        group.spawn([]() -> task<> {
            auto waiting = squares(5);
            (void)co_await waiting.next();
            FAIL("resumed");
        }());
        co_await yield();
        co_await yield();
    }());
    check_baseline(used);
}

TEST_CASE("the_next_value_of_a_generator_may_have_a_deadline") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        auto values = counts_slowly(3);
        const int* const in_time = co_await timeout(2s, values.next());
        CHECK(in_time != nullptr);
        const int* const too_late = co_await timeout(1ms, values.next());
        CHECK(too_late == nullptr); // its sleep was cancelled, and it ended
        const int* const ended = co_await values.next();
        CHECK(ended == nullptr);
    }());
    check_baseline(used);
}
