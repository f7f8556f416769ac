#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/try.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

task<result<int>> gives(result<int> outcome, bool suspends) {
    if (suspends) (void)co_await no_operation();
    co_return outcome;
}

} // namespace

TEST_CASE("try_of_a_value_is_the_value") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    const result<int> outcome = used.run([](bool suspends_) -> task<result<int>> {
        const int from_result = co_await try_(result<int>(1));
        const int from_task = co_await try_(gives(2, suspends_));
        const int from_operation = co_await try_(no_operation());
        co_await try_(result<void>());
        co_await try_(sleep(duration::zero()));
        co_return from_result + from_task + from_operation;
    }(suspends));
    CHECK(outcome == 3);
    check_baseline(used);
}

TEST_CASE("try_of_a_value_that_can_only_be_moved_moves_it") {
    executor used({}, test_kernel());
    auto outcome = used.run([]() -> task<result<std::unique_ptr<int>>> {
        auto child = []() -> task<result<std::unique_ptr<int>>> { co_return std::make_unique<int>(3); };
        std::unique_ptr<int> first = co_await try_(result<std::unique_ptr<int>>(std::make_unique<int>(4)));
        std::unique_ptr<int> second = co_await try_(child());
        co_return std::make_unique<int>(*first + *second);
    }());
    REQUIRE(outcome.has_value());
    CHECK(**outcome == 7);
}

TEST_CASE("try_of_an_error_ends_the_coroutine_with_that_error") {
    executor used({}, test_kernel());
    bool went_on = false;
    result<std::string> outcome;
    SECTION("of a result") {
        outcome = used.run([](bool& flag) -> task<result<std::string>> {
            co_await try_(result<int>(failure(errc::broken)));
            flag = true;
            co_return "not reached";
        }(went_on));
    }
    SECTION("of a task that ends at once") {
        outcome = used.run([](bool& flag) -> task<result<std::string>> {
            co_await try_(gives(failure(errc::broken), false));
            flag = true;
            co_return "not reached";
        }(went_on));
    }
    SECTION("of a task that suspends") {
        outcome = used.run([](bool& flag) -> task<result<std::string>> {
            co_await try_(gives(failure(errc::broken), true));
            flag = true;
            co_return "not reached";
        }(went_on));
    }
    SECTION("in a coroutine that has suspended before") {
        outcome = used.run([](bool& flag) -> task<result<std::string>> {
            (void)co_await no_operation();
            co_await try_(result<int>(failure(errc::broken)));
            flag = true;
            co_return "not reached";
        }(went_on));
    }
    CHECK_FALSE(went_on);
    CHECK(outcome == failure(errc::broken));
    check_baseline(used);
}

TEST_CASE("try_of_an_operation_ends_the_coroutine_with_the_errno", "[linux]") {
    executor used({}, test_kernel());
    const result<void> outcome = used.run([]() -> task<result<void>> {
        co_await try_(uring([](io_uring_sqe& sqe) { io_uring_prep_fsync(&sqe, -1, 0); }));
        FAIL("went on behind a failed operation");
        co_return {};
    }());
    CHECK(outcome == failure(from_errno(EBADF)));
    check_baseline(used);
}

TEST_CASE("try_of_an_operation_in_a_cancelled_scope_ends_the_coroutine_at_once") {
    executor used({}, test_kernel());
    used.root_scope().cancel();
    const result<void> outcome = used.run([]() -> task<result<void>> {
        co_await try_(sleep(std::chrono::hours(1)));
        co_return {};
    }());
    CHECK(outcome == failure(errc::cancelled));
    check_baseline(used);
}

TEST_CASE("locals_die_before_the_caller_learns_of_the_error") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    int ends = 0;
    used.run([](int& count, bool suspends_) -> task<> {
        auto child = [](int& counted, bool child_suspends) -> task<result<void>> {
            counts_its_end local(counted);
            const std::string unwound(100, 'x');
            co_await try_(gives(failure(errc::closed), child_suspends));
            co_return {};
        };
        const result<void> outcome = co_await child(count, suspends_);
        CHECK(count == 1);
        CHECK(outcome == failure(errc::closed));
    }(ends, suspends));
    CHECK(ends == 1);
}

TEST_CASE("an_exception_of_a_tried_task_is_thrown_where_it_was_tried") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    const result<int> outcome = used.run([](bool suspends_) -> task<result<int>> {
        auto child = [](bool child_suspends) -> task<result<int>> {
            if (child_suspends) (void)co_await no_operation();
            throw std::runtime_error("no value and no error");
        };
        try {
            co_await try_(child(suspends_));
        } catch (const std::runtime_error&) {
            co_return 11;
        }
        co_return 12;
    }(suspends));
    CHECK(outcome == 11);
    check_baseline(used);
}

TEST_CASE("a_chain_of_tries_passes_the_error_up") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    auto bottom = [](bool bottom_suspends) -> task<result<int>> {
        if (bottom_suspends) (void)co_await no_operation();
        co_return failure(errc::timed_out);
    };
    auto middle = [](auto& below, bool bottom_suspends) -> task<result<std::string>> {
        co_return std::to_string(co_await try_(below(bottom_suspends)));
    };
    auto top = [](auto& middle_, auto& below, bool bottom_suspends) -> task<result<std::size_t>> {
        const std::string text = co_await try_(middle_(below, bottom_suspends));
        co_return text.size();
    };
    CHECK(used.run(top(middle, bottom, suspends)) == failure(errc::timed_out));
    check_baseline(used);
}

TEST_CASE("a_spawned_task_that_ends_at_a_try_is_over_for_its_group") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    int ends = 0;
    used.run([](int& count, bool suspends_) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 10; ++i) {
                group.spawn([](int& counted, bool child_suspends) -> task<> {
                    auto inner = [](int& inner_counted, bool inner_suspends) -> task<result<void>> {
                        counts_its_end local(inner_counted);
                        co_await try_(gives(failure(errc::closed), inner_suspends));
                        co_return {};
                    };
                    const result<void> outcome = co_await inner(counted, child_suspends);
                    CHECK(outcome == failure(errc::closed));
                }(count, suspends_));
            }
            co_return;
        });
    }(ends, suspends));
    CHECK(ends == 10);
    check_baseline(used);
}

TEST_CASE("a_root_task_that_ends_at_a_try_has_destroyed_its_locals_when_run_returns") {
    executor used({}, test_kernel());
    int ends = 0;
    const result<void> outcome = used.run([](int& count) -> task<result<void>> {
        counts_its_end local(count);
        co_await try_(gives(failure(errc::closed), true));
        co_return {};
    }(ends));
    CHECK(outcome == failure(errc::closed));
    CHECK(ends == 1);
    check_baseline(used);
}
