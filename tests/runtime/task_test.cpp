#include "runtime/small_stack.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/task.hpp>

#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

task<int> given_value(int value) {
    co_return value;
}

task<int> value_after_a_turn(int value) {
    (void)co_await no_operation();
    co_return value;
}

struct logged_object {
    std::vector<std::string>& log;
    std::string name;
    ~logged_object() { log.push_back(name + " destroyed"); }
};

std::size_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::size_t total = 0;
    std::size_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

} // namespace

TEST_CASE("a_task_does_nothing_until_it_is_awaited") {
    executor used({}, test_kernel());
    bool ran = false;
    used.run([](bool& ran_) -> task<> {
        auto child = [](bool& flag) -> task<> {
            flag = true;
            co_return;
        }(ran_);
        co_await yield();
        CHECK_FALSE(ran_);
        co_await std::move(child);
        CHECK(ran_);
    }(ran));
    CHECK(ran);
    check_baseline(used);
}

TEST_CASE("an_unstarted_task_that_is_destroyed_never_runs_and_frees_its_arguments") {
    auto argument = std::make_shared<int>(1);
    bool ran = false;
    {
        auto unused = [](std::shared_ptr<int>, bool& flag) -> task<> {
            flag = true;
            co_return;
        }(argument, ran);
        CHECK(argument.use_count() == 2);
    }
    CHECK_FALSE(ran);
    CHECK(argument.use_count() == 1);
}

TEST_CASE("the_value_of_a_task_is_the_value_of_the_await") {
    executor used({}, test_kernel());
    SECTION("a number") {
        CHECK(used.run(given_value(42)) == 42);
    }
    SECTION("a number, after a suspension") {
        CHECK(used.run(value_after_a_turn(43)) == 43);
    }
    SECTION("something that can only be moved") {
        auto moved = used.run([]() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); }());
        REQUIRE(moved != nullptr);
        CHECK(*moved == 7);
    }
    SECTION("something without a default constructor") {
        struct stubborn {
            explicit stubborn(int given)
                : number(given) {}
            int number;
        };
        CHECK(used.run([]() -> task<stubborn> { co_return stubborn(8); }()).number == 8);
    }
    SECTION("a reference to the very object") {
        int object = 0;
        int& returned = used.run([](int& given) -> task<int&> { co_return given; }(object));
        CHECK(&returned == &object);
    }
    check_baseline(used);
}

TEST_CASE("a_child_that_ends_at_once_ends_on_its_callers_stack_without_a_turn") {
    executor used({}, test_kernel());
    const int sum = used.run([](executor& home) -> task<int> {
        const auto resumed = home.stats().resumptions;
        int total = 0;
        for (int i = 0; i < 100; ++i) total += co_await given_value(i);
        CHECK(home.stats().resumptions == resumed);
        co_return total;
    }(used));
    CHECK(sum == 4950);
}

TEST_CASE("locals_of_a_child_die_before_its_caller_goes_on") {
    executor used({}, test_kernel());
    std::vector<std::string> log;
    auto child = [](std::vector<std::string>& to, bool suspends) -> task<int> {
        logged_object local{to, "local"};
        if (suspends) (void)co_await no_operation();
        co_return 1;
    };
    const bool suspends = GENERATE(false, true);
    used.run([](auto& make, auto& to, bool suspends_) -> task<> {
        (void)co_await make(to, suspends_);
        to.push_back("caller");
    }(child, log, suspends));
    CHECK(log == std::vector<std::string>{"local destroyed", "caller"});
}

TEST_CASE("arguments_of_a_child_die_before_its_caller_goes_on") {
    executor used({}, test_kernel());
    auto argument = std::make_shared<int>(5);
    used.run([](std::shared_ptr<int> given) -> task<> {
        auto child = [](std::shared_ptr<int> kept) -> task<int> { co_return *kept; };
        const long before = given.use_count();
        const int value = co_await child(given);
        CHECK(value == 5);
        CHECK(given.use_count() == before);
    }(argument));
    CHECK(argument.use_count() == 1);
}

TEST_CASE("an_exception_travels_through_awaits") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    auto thrower = [](bool first_suspends) -> task<int> {
        if (first_suspends) (void)co_await no_operation();
        throw std::runtime_error("from the bottom");
    };
    auto middle = [](auto& make, bool first_suspends) -> task<int> {
        co_return co_await make(first_suspends) + 1;
    };
    SECTION("to a caller that catches it") {
        used.run([](auto& make, auto& below, bool first_suspends) -> task<> {
            bool caught = false;
            try {
                (void)co_await make(below, first_suspends);
            } catch (const std::runtime_error& error) {
                caught = std::string_view(error.what()) == "from the bottom";
            }
            CHECK(caught);
        }(middle, thrower, suspends));
    }
    SECTION("out of run") {
        CHECK_THROWS_AS(used.run(middle(thrower, suspends)), std::runtime_error);
    }
    check_baseline(used);
}

TEST_CASE("an_exception_of_a_destructor_behind_the_value_takes_the_values_place") {
    struct throws_at_its_end {
        ~throws_at_its_end() noexcept(false) { throw std::runtime_error("destructor"); }
    };
    executor used({}, test_kernel());
    auto value = std::make_shared<int>(1);
    CHECK_THROWS_AS(
        used.run([](std::shared_ptr<int> given) -> task<std::shared_ptr<int>> {
            const throws_at_its_end local;
            co_return given;
        }(value)),
        std::runtime_error);
    CHECK(value.use_count() == 1);
}

TEST_CASE("a_destroyed_caller_takes_its_suspended_children_along") {
    executor used({}, test_kernel());
    std::vector<std::string> log;
    auto bottom = [](std::vector<std::string>& to) -> task<> {
        logged_object local{to, "bottom"};
        (void)co_await sleep(std::chrono::hours(1));
        to.push_back("resumed");
    };
    auto top = [](auto& make, std::vector<std::string>& to) -> task<> {
        logged_object local{to, "top"};
        co_await make(to);
        to.push_back("resumed");
    };
    used.run([](auto& make, auto& below, auto& to) -> task<> {
        task_group group(co_await this_scope{});
        group.spawn(make(below, to));
        co_await yield();
    }(top, bottom, log));
    CHECK(log == std::vector<std::string>{"bottom destroyed", "top destroyed"});
    check_baseline(used);
}

// The address sanitizer's quarantine is no growth of ours.
TEST_CASE("ten_million_awaits_of_a_child_that_ends_at_once_need_neither_stack_nor_memory", "[linux]") {
    constexpr int times = 10'000'000;
    long long sum = 0;
    std::size_t before = 0;
    std::size_t after = 0;
    run_on_small_stack([&] {
        executor used({}, test_kernel());
        sum = used.run([](std::size_t& before_, std::size_t& after_) -> task<long long> {
            long long total = 0;
            for (int i = 0; i < times; ++i) {
                if (i == 1000) before_ = resident_bytes();
                total += co_await given_value(i & 1);
            }
            after_ = resident_bytes();
            co_return total;
        }(before, after));
    });
    CHECK(sum == times / 2);
    if (!address_sanitizer) CHECK(after < before + std::size_t{1024} * 1024);
}

TEST_CASE("a_million_awaits_of_a_child_that_suspends_need_neither_stack_nor_memory", "[linux]") {
    constexpr int times = address_sanitizer ? 100'000 : 1'000'000;
    long long sum = 0;
    std::size_t before = 0;
    std::size_t after = 0;
    auto child = [](int value) -> task<int> {
        co_await yield();
        co_return value;
    };
    run_on_small_stack([&] {
        executor used({}, test_kernel());
        sum = used.run([](auto& make, std::size_t& before_, std::size_t& after_) -> task<long long> {
            long long total = 0;
            for (int i = 0; i < times; ++i) {
                if (i == 1000) before_ = resident_bytes();
                total += co_await make(i & 1);
            }
            after_ = resident_bytes();
            co_return total;
        }(child, before, after));
    });
    CHECK(sum == times / 2);
    if (!address_sanitizer) CHECK(after < before + std::size_t{1024} * 1024);
}

namespace {

enum class at_the_bottom { nothing, a_suspension, an_exception, an_error };

task<result<int>> descend(int levels, at_the_bottom ending) {
    if (levels > 0) {
        if (ending == at_the_bottom::an_error) co_return co_await try_(descend(levels - 1, ending)) + 1;
        co_return *co_await descend(levels - 1, ending) + 1;
    }
    if (ending == at_the_bottom::a_suspension) (void)co_await no_operation();
    if (ending == at_the_bottom::an_exception) throw std::out_of_range("bottom");
    if (ending == at_the_bottom::an_error) co_return failure(errc::closed);
    co_return 0;
}

} // namespace

TEST_CASE("a_recursion_of_tasks_a_hundred_thousand_deep_does_not_overflow_a_small_stack", "[linux]") {
    constexpr int depth = 100'000;
    const auto ending = GENERATE(at_the_bottom::nothing, at_the_bottom::a_suspension);
    result<int> reached = 0;
    run_on_small_stack([&] {
        executor used({}, test_kernel());
        reached = used.run(descend(depth, ending));
    });
    CHECK(reached == depth);
}

TEST_CASE("an_exception_from_a_hundred_thousand_tasks_down_does_not_overflow_a_small_stack", "[linux]") {
    // Under the address sanitizer every unwinding clears the whole shadow of the stack: fewer levels are
    // enough there.
    constexpr int depth = address_sanitizer ? 10'000 : 100'000;
    CHECK_THROWS_AS(
        run_on_small_stack([&] {
            executor used({}, test_kernel());
            (void)used.run(descend(depth, at_the_bottom::an_exception));
        }),
        std::out_of_range);
}

namespace {

// How many levels wait, and how many frames have been destroyed, each before the one that awaits it.
struct levels_seen {
    int waiting = 0;
    int destroyed = 0;
    bool in_order = true;
};

class level {
  public:
    level(int number, levels_seen& seen)
        : number_(number)
        , seen_(seen) {
        ++seen_.waiting;
    }
    level(const level&) = delete;
    level& operator=(const level&) = delete;
    ~level() { seen_.in_order = seen_.in_order && seen_.destroyed++ == number_; }

  private:
    int number_;
    levels_seen& seen_;
};

task<result<int>> wait_below(int levels, levels_seen& seen) {
    const level local(levels, seen);
    if (levels == 0) (void)co_await sleep(std::chrono::hours(1));
    if (levels == 0) co_return 0;
    if (levels % 3 == 0) co_return co_await try_(wait_below(levels - 1, seen));
    if (levels % 3 == 1) co_return co_await timeout(std::chrono::hours(1), wait_below(levels - 1, seen));
    co_return co_await wait_below(levels - 1, seen);
}

} // namespace

TEST_CASE(
    "a_recursion_of_tasks_a_hundred_thousand_deep_is_destroyed_from_its_end_on_a_small_stack", "[linux]") {
    constexpr int depth = 100'000;
    levels_seen seen;
    run_on_small_stack([&] {
        executor used;
        used.run([](levels_seen& shown) -> task<> {
            cancel_scope& here = co_await this_scope{};
            std::optional<task_group> group(std::in_place, here);
            group->spawn(
                [](levels_seen& below) -> task<> { (void)co_await wait_below(depth, below); }(shown));
            while (shown.waiting <= depth) co_await yield();
            group.reset();
        }(seen));
    });
    CHECK(seen.destroyed == depth + 1);
    CHECK(seen.in_order);
}

TEST_CASE("an_error_that_a_hundred_thousand_tasks_pass_on_does_not_overflow_a_small_stack", "[linux]") {
    constexpr int depth = 100'000;
    result<int> reached = 0;
    run_on_small_stack([&] {
        executor used({}, test_kernel());
        reached = used.run(descend(depth, at_the_bottom::an_error));
    });
    CHECK(reached == failure(errc::closed));
}
