// What tasks that never wait may not do: keep the others, timers and I/O from their turn.
#include "runtime/small_stack.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <signal.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

// Does something over and over, each of whose awaits completes at once, until it is told to stop.
using endless = std::function<task<>(const bool& stop)>;

task<> ends_at_once() {
    co_return;
}

async_generator<int> yields_for_ever() {
    for (int value = 0;; ++value) co_yield value;
}

async_generator<int> yields_nothing() {
    co_return;
}

const std::vector<std::pair<std::string, endless>> all_endless = {
    {"a task",
     [](const bool& stop) -> task<> {
         while (!stop) co_await ends_at_once();
     }},
    {"a task with try_",
     [](const bool& stop) -> task<> {
         const auto succeeds = []() -> task<result<void>> { co_return {}; };
         (void)co_await [](const bool& end, auto make) -> task<result<void>> {
             while (!end) co_await try_(make());
             co_return {};
         }(stop, succeeds);
     }},
    {"a task with a deadline",
     [](const bool& stop) -> task<> {
         while (!stop) (void)co_await timeout(1h, ends_at_once());
     }},
    {"a named task",
     [](const bool& stop) -> task<> {
         while (!stop) co_await named("name", ends_at_once());
     }},
    {"a generator",
     [](const bool& stop) -> task<> {
         auto values = yields_for_ever();
         while (!stop) (void)co_await values.next();
     }},
    {"a generator that has ended",
     [](const bool& stop) -> task<> {
         auto values = yields_nothing();
         while (!stop) (void)co_await values.next();
     }},
    {"spawning where there is a place",
     [](const bool& stop) -> task<> {
         task_group group(co_await this_scope{});
         while (!stop) (void)co_await group.spawn_bounded(ends_at_once());
     }},
    {"joining a group without children",
     [](const bool& stop) -> task<> {
         task_group group(co_await this_scope{});
         while (!stop) co_await group.join();
     }},
    {"asking for a cancellation",
     [](const bool& stop) -> task<> {
         while (!stop) (void)co_await cancelled();
     }},
    {"an operation that is refused",
     [](const bool& stop) -> task<> {
         std::stop_source stopped;
         stopped.request_stop();
         while (!stop) (void)co_await cancel_on(stopped.get_token(), sleep(1h));
     }},
};

} // namespace

TEST_CASE(
    "a_task_whose_awaits_all_complete_at_once_starves_neither_tasks_nor_timers_nor_operations", "[linux]") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.budget = GENERATE(1U, 256U);
    for (const auto& [what, run_endlessly] : all_endless) {
        CAPTURE(what);
        executor used(options, test_kernel());
        used.run([](const endless& run) -> task<> {
            bool stop = false;
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(run(stop));
                group.spawn([](bool& end) -> task<> {
                    co_await yield();
                    const result<int> done = co_await no_operation();
                    CHECK(done == 0);
                    const result<void> slept = co_await sleep(100us);
                    CHECK(slept.has_value());
                    end = true;
                }(stop));
                co_return;
            });
        }(run_endlessly));
        check_baseline(used);
    }
}

TEST_CASE("sixteen_awaits_that_complete_at_once_take_as_much_of_the_budget_as_a_resumption") {
    executor_options options;
    options.budget = 10;
    executor used(options, test_kernel());
    used.run([](executor& home) -> task<> {
        co_await next_turn{};
        const statistics before = home.stats();
        for (int count = 0; count < 16'000; ++count) co_await ends_at_once();
        const statistics after = home.stats();
        // Each turn has one resumption, and nine times sixteen awaits.
        CHECK(after.turns - before.turns == 16'000 / (9 * 16));
    }(used));
}

TEST_CASE("millions_of_operations_that_are_refused_need_neither_stack_nor_a_wait", "[linux]") {
    constexpr int times = optimized ? 10'000'000 : 1'000'000;
    int refused = 0;
    run_on_small_stack([&] {
        executor used({}, test_kernel());
        used.run([](int& count) -> task<> {
            task_group group(co_await this_scope{});
            group.cancel();
            group.spawn([](int& to) -> task<> {
                for (int time = 0; time < times; ++time) {
                    const result<void> slept = co_await sleep(1h);
                    if (slept == failure(errc::cancelled)) ++to;
                }
            }(count));
            co_await group.join();
        }(refused));
    });
    CHECK(refused == times);
}

TEST_CASE("a_task_that_is_destroyed_when_the_budget_held_it_up_leaves_nothing") {
    executor_options options;
    options.budget = 1;
    executor used(options, test_kernel());
    for (const auto& [what, run_endlessly] : all_endless) {
        CAPTURE(what);
        used.run([](const endless& run) -> task<> {
            const bool stop = false;
            std::optional<task_group> group(std::in_place, co_await this_scope{});
            group->spawn(run(stop));
            for (int turn = 0; turn < 10; ++turn) co_await next_turn{};
            group.reset();
        }(run_endlessly));
        check_baseline(used);
    }
}

// With a budget of one each of them goes on a turn after its await has completed.
TEST_CASE("the_value_of_a_child_and_a_signal_are_for_the_one_that_found_them", "[linux]") {
    executor_options options;
    options.budget = 1;
    executor used(options, test_kernel());
    used.run([]() -> task<> {
        task_group children(co_await this_scope{});
        child<int> answer = children.start([]() -> task<int> { co_return 7; }());
        signal_set signals = *signal_set::open({SIGUSR1});
        co_await children.join();
        ::raise(SIGUSR1);
        co_await next_turn{};
        result<int> values[2];
        result<int> numbers[2];
        co_await scope([&](task_group& group) -> task<> {
            for (result<int>& value : values) {
                group.spawn([](child<int>& of, result<int>& into) -> task<> {
                    into = co_await of.outcome();
                }(answer, value));
            }
            for (result<int>& number : numbers) {
                group.spawn([](signal_set& from, result<int>& into) -> task<> {
                    into = co_await from.next();
                }(signals, number));
            }
            co_return;
        });
        CHECK(values[0] == 7);
        CHECK(values[1] == failure(errc::busy));
        CHECK(numbers[0] == SIGUSR1);
        CHECK(numbers[1] == failure(errc::busy));
    }());
    check_baseline(used);
}
