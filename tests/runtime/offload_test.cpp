#include "runtime/forwarding_kernel.hpp"
#include "runtime/held_work.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/try.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

TEST_CASE("what_a_function_returns_on_another_thread_comes_back_to_the_executors_own", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    blocking_pool pool;
    used.run([](blocking_pool& pool_) -> task<> {
        const auto home = std::this_thread::get_id();
        const result<std::thread::id> there =
            co_await offload(pool_, [] { return std::this_thread::get_id(); });
        REQUIRE(there.has_value());
        CHECK(*there != home);
        CHECK(std::this_thread::get_id() == home);
        bool ran = false;
        const result<void> nothing_returned = co_await offload(pool_, [&ran] { ran = true; });
        CHECK(nothing_returned.has_value());
        CHECK(ran);
    }(pool));
    check_baseline(used);
}

TEST_CASE("what_is_offloaded_and_what_it_returns_need_only_be_movable", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto work = [owned = std::make_unique<int>(5)]() mutable { return std::move(owned); };
        result<std::unique_ptr<int>> returned = co_await offload(std::move(work));
        REQUIRE(returned.has_value());
        CHECK(**returned == 5);
    }());
    check_baseline(used);
}

TEST_CASE("a_function_that_returns_a_result_decides_how_the_operation_ends", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const result<int> good = co_await offload([]() -> result<int> { return 3; });
        CHECK(good == 3);
        const result<void> bad = co_await offload([]() -> result<void> { return failure(errc::busy); });
        CHECK(bad == failure(errc::busy));
    }());
    check_baseline(used);
}

TEST_CASE("an_exception_of_offloaded_work_comes_out_of_the_await", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        std::string caught;
        try {
            (void)co_await offload([]() -> int { throw std::runtime_error("no such thing"); });
        } catch (const std::runtime_error& error) {
            caught = error.what();
        }
        CHECK(caught == "no such thing");
    }());
    check_baseline(used);
}

TEST_CASE("try_takes_an_offloaded_function", "[linux]") {
    executor used({}, test_kernel());
    const result<int> good = used.run([]() -> task<result<int>> {
        const int value = co_await try_(offload([] { return 4; }));
        co_return value + 1;
    }());
    CHECK(good == 5);
    bool went_on = false;
    const result<int> bad = used.run([](bool& flag) -> task<result<int>> {
        co_await try_(offload([]() -> result<void> { return failure(errc::closed); }));
        flag = true;
        co_return 1;
    }(went_on));
    CHECK(bad == failure(errc::closed));
    CHECK_FALSE(went_on);
    check_baseline(used);
}

TEST_CASE("a_sleeping_executor_is_woken_by_the_end_of_offloaded_work", "[linux]") {
    // Lets the work end when the executor is about to wait in the kernel, for whatever time.
    struct telling : forwarding_kernel {
        std::counting_semaphore<> asleep{0};
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            if (wait.completions > 0) asleep.release();
            return forwarding_kernel::enter(ring, to_submit, wait, flags);
        }
    } kernel;
    executor used(options_for(GENERATE(both_modes())), kernel);
    blocking_pool pool({.threads = 1});
    used.run([](telling& kernel_, blocking_pool& pool_) -> task<> {
        for (int round = 0; round < 200; ++round) {
            const result<void> slept = co_await offload(pool_, [&kernel_] { kernel_.asleep.acquire(); });
            CHECK(slept.has_value());
        }
    }(kernel, pool));
    check_baseline(used);
}

TEST_CASE("many_tasks_of_two_executors_share_a_pool", "[linux]") {
    constexpr int tasks = 300;
    blocking_pool pool({.threads = 3});
    std::atomic<int> executed = 0;
    std::atomic<int> returned = 0;
    const auto serve = [&] {
        executor used({}, test_kernel());
        used.run([](blocking_pool& pool_, std::atomic<int>& there, std::atomic<int>& here) -> task<> {
            co_await scope([&](task_group& group) -> task<> {
                for (int i = 0; i < tasks; ++i) {
                    group.spawn(
                        [](blocking_pool& pool__, std::atomic<int>& there_, std::atomic<int>& here_,
                           int number) -> task<> {
                            const result<int> same = co_await offload(pool__, [&there_, number] {
                                ++there_;
                                return number;
                            });
                            if (same == number) ++here_;
                        }(pool_, there, here, i));
                }
                co_return;
            });
        }(pool, executed, returned));
        const statistics now = used.stats();
        if (now.operations_in_flight != 0 || now.live_tasks != 0 || !used.holdings_report().empty())
            executed = -1'000'000; // Catch2's own checks are for one thread
    };
    std::thread other(serve);
    serve();
    other.join();
    CHECK(executed == 2 * tasks);
    CHECK(returned == 2 * tasks);
    CHECK(pool.threads() <= 3);
    CHECK(pool.queued() == 0);
}

TEST_CASE("work_that_waits_for_a_thread_is_withdrawn_when_it_is_cancelled", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    blocking_pool pool({.threads = 1});
    held_work first;
    bool second_ran = false;
    used.run([](blocking_pool& pool_, held_work& first_, bool& ran) -> task<> {
        outcome of_first;
        outcome of_second;
        task_group group(co_await this_scope{});
        task_group waiting(co_await this_scope{});
        group.spawn(store(pool_, running(first_), of_first));
        co_await yield();
        first_.running.acquire();
        auto work = [&ran] {
            ran = true;
            return 1;
        };
        waiting.spawn(store(pool_, work, of_second));
        co_await yield();
        CHECK(pool_.queued() == 1);
        waiting.cancel();
        CHECK(pool_.queued() == 0);
        co_await waiting.join(); // while the first one still runs
        CHECK(of_second.value == failure(errc::cancelled));
        CHECK_FALSE(of_first.resumed);
        first_.may_end.release();
        co_await group.join();
        CHECK(of_first.value == 7);
    }(pool, first, second_ran));
    CHECK_FALSE(second_ran);
    check_baseline(used);
}

TEST_CASE("work_that_runs_when_it_is_cancelled_goes_on_and_its_result_is_the_outcome", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    blocking_pool pool;
    held_work work;
    used.run([](blocking_pool& pool_, held_work& work_) -> task<> {
        outcome of_work;
        task_group group(co_await this_scope{});
        group.spawn(store(pool_, running(work_), of_work));
        co_await yield();
        work_.running.acquire();
        group.cancel();
        co_await next_turn{};
        CHECK_FALSE(of_work.resumed);
        work_.may_end.release();
        co_await group.join();
        CHECK(of_work.value == 7);
    }(pool, work));
    check_baseline(used);
}

TEST_CASE("work_that_is_offloaded_in_a_cancelled_scope_does_not_run", "[linux]") {
    executor used({}, test_kernel());
    blocking_pool pool;
    bool ran = false;
    used.run([](blocking_pool& pool_, bool& ran_) -> task<> {
        outcome of_work;
        task_group group(co_await this_scope{});
        group.cancel();
        auto work = [&ran_] {
            ran_ = true;
            return 1;
        };
        group.spawn(store(pool_, work, of_work));
        co_await group.join();
        CHECK(of_work.value == failure(errc::cancelled));
    }(pool, ran));
    CHECK_FALSE(ran);
    CHECK(pool.threads() == 0);
    check_baseline(used);
}

TEST_CASE("a_task_that_waits_for_offloaded_work_can_be_destroyed", "[linux]") {
    enum class stage { queued, runs, posted, resumable };
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const stage at = GENERATE(stage::queued, stage::runs, stage::posted, stage::resumable);
    CAPTURE(static_cast<int>(at));
    blocking_pool pool({.threads = 1});
    held_work before; // occupies the thread while the victim is queued
    held_work work;
    outcome of_work;
    used.run(
        [](blocking_pool& pool_, held_work& before_, held_work& work_, outcome& of_work_,
           stage at_) -> task<> {
            outcome of_before;
            outcome of_behind;
            task_group others(co_await this_scope{});
            auto victims = std::make_unique<task_group>(co_await this_scope{});
            if (at_ == stage::queued) {
                others.spawn(store(pool_, running(before_), of_before));
                co_await yield();
                before_.running.acquire();
            }
            victims->spawn(store(pool_, running(work_), of_work_));
            co_await yield();
            if (at_ != stage::queued) work_.running.acquire();
            std::thread letting_it_end;
            if (at_ == stage::runs) letting_it_end = std::thread([&work_] { work_.may_end.release(); });
            std::binary_semaphore behind_runs(0);
            if (at_ == stage::posted || at_ == stage::resumable) {
                // The one thread has posted the first work when it takes the next one.
                auto behind = [&behind_runs] {
                    behind_runs.release();
                    return 1;
                };
                others.spawn(store(pool_, behind, of_behind));
                co_await yield();
                work_.may_end.release();
                behind_runs.acquire();
            }
            if (at_ == stage::resumable) co_await next_turn{}; // runs before what the turn made ready
            CHECK_FALSE(of_work_.resumed);
            victims.reset();
            CHECK(work_.ended == (at_ != stage::queued));
            if (letting_it_end.joinable()) letting_it_end.join();
            before_.may_end.release();
            co_await others.join();
            co_await next_turn{};
        }(pool, before, work, of_work, at));
    CHECK_FALSE(of_work.resumed);
    CHECK(pool.queued() == 0);
    check_baseline(used);
}

TEST_CASE("an_executor_that_ends_waits_for_its_offloaded_work", "[linux]") {
    const task_work_mode mode = GENERATE(both_modes());
    blocking_pool pool({.threads = 1});
    held_work work;
    outcome of_work;
    outcome of_queued;
    std::unique_ptr<task_group> group;
    std::thread letting_it_end;
    {
        executor used(options_for(mode), test_kernel());
        group = std::make_unique<task_group>(used.root_scope());
        group->spawn(store(pool, running(work), of_work));
        group->spawn(store(pool, [] { return 1; }, of_queued));
        used.run([](held_work& work_) -> task<> {
            co_await yield();
            work_.running.acquire();
            co_await next_turn{};
        }(work));
        CHECK_FALSE(of_work.resumed);
        const std::vector<std::string> held = used.holdings_report();
        REQUIRE_FALSE(held.empty());
        CHECK(held.front() == "2 pieces of work elsewhere");
        letting_it_end = std::thread([&work] { work.may_end.release(); });
    }
    CHECK(work.ended);
    // Whether a task still goes on when its executor ends is left open.
    if (of_work.resumed) CHECK(of_work.value == 7);
    group.reset();
    letting_it_end.join();
}

TEST_CASE("a_task_goes_on_only_when_the_pools_thread_has_left_its_executor", "[linux]") {
    // Whose inbox may be gone as soon as the task has ended.
    struct slow_waker : forwarding_kernel {
        std::counting_semaphore<> asleep{0};
        std::atomic<bool> inside = false;
        std::atomic<bool> went_on = false;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            if (wait.completions > 0) asleep.release();
            return forwarding_kernel::enter(ring, to_submit, wait, flags);
        }
        void signal_event(int descriptor) noexcept override {
            inside = true;
            forwarding_kernel::signal_event(descriptor);
            for (int i = 0; i < 2000 && !went_on; ++i) std::this_thread::yield();
            inside = false;
        }
    } kernel;
    executor used(options_for(GENERATE(both_modes())), kernel);
    blocking_pool pool({.threads = 1});
    used.run([](slow_waker& kernel_, blocking_pool& pool_) -> task<> {
        for (int round = 0; round < 20; ++round) {
            kernel_.went_on = false;
            const result<void> slept = co_await offload(pool_, [&kernel_] { kernel_.asleep.acquire(); });
            const bool too_early = kernel_.inside;
            kernel_.went_on = true;
            CHECK(slept.has_value());
            CHECK_FALSE(too_early);
        }
    }(kernel, pool));
    check_baseline(used);
}

TEST_CASE("cancelling_offloaded_work_at_any_time_resumes_its_task_once", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    blocking_pool pool({.threads = 1});
    used.run([](blocking_pool& pool_) -> task<> {
        int executed = 0; // by the one thread, or read when it has no work
        int succeeded = 0;
        int cancelled = 0;
        for (int round = 0; round < 2000; ++round) {
            std::array<outcome, 3> outcomes;
            task_group group(co_await this_scope{});
            auto work = [&executed] { return ++executed; };
            for (outcome& each : outcomes) group.spawn(store(pool_, work, each));
            for (int step = 0; step < round % 5; ++step) co_await yield();
            if (round % 2 == 0) co_await next_turn{};
            group.cancel();
            co_await group.join();
            for (const outcome& each : outcomes) {
                REQUIRE(each.resumed);
                if (each.value.has_value())
                    ++succeeded;
                else if (each.value == failure(errc::cancelled))
                    ++cancelled;
            }
            REQUIRE(executed == succeeded);
        }
        CHECK(succeeded + cancelled == 6000);
        CHECK(cancelled > 0);
    }(pool));
    check_baseline(used);
}
