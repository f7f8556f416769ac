// Events, latches, barriers, conditions and once: what tasks wait for together.
#include "executors.hpp"
#include "runtime/steps.hpp"

#include <optional>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

template <class Of> task<> wait_and_note(Of& of, std::vector<std::string>& ended, std::string name) {
    const result<void> waited = co_await of.wait();
    ended.push_back(waited ? name : name + " cancelled");
}

} // namespace

TEST_CASE("an_event_lets_all_go_that_wait_and_those_that_come_until_it_is_reset") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        event happened;
        std::vector<std::string> ended;
        task_group group(co_await this_scope{});
        group.spawn(wait_and_note(happened, ended, "first"));
        group.spawn(wait_and_note(happened, ended, "second"));
        co_await everybody_waits();
        CHECK(ended.empty());
        happened.set();
        happened.set();
        group.spawn(wait_and_note(happened, ended, "third"));
        co_await everybody_waits();
        CHECK(ended == std::vector<std::string>{"first", "second", "third"});
        happened.reset();
        CHECK_FALSE(happened.is_set());
        group.spawn(wait_and_note(happened, ended, "fourth"));
        co_await everybody_waits();
        CHECK(ended.size() == 3);
        happened.set();
        happened.reset(); // who waited goes on all the same
        co_await group.join();
        CHECK(ended.back() == "fourth");
        const result<void> late = co_await timeout(1ms, happened.wait());
        CHECK(late == failure(errc::timed_out));
    }());
    check_baseline(used);
}

TEST_CASE("an_auto_reset_event_lets_one_go") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto_reset_event happened(true);
        std::vector<std::string> ended;
        const result<void> at_once = co_await happened.wait();
        CHECK(at_once.has_value());
        CHECK_FALSE(happened.try_wait());
        happened.set();
        happened.set(); // once
        CHECK(happened.try_wait());
        CHECK_FALSE(happened.try_wait());
        task_group group(co_await this_scope{});
        std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
        destroyed->spawn(wait_and_note(happened, ended, "destroyed"));
        co_await everybody_waits();
        group.spawn(wait_and_note(happened, ended, "first"));
        group.spawn(wait_and_note(happened, ended, "second"));
        co_await everybody_waits();
        happened.set();
        destroyed.reset(); // hands it on
        co_await everybody_waits();
        co_await everybody_waits();
        CHECK(ended == std::vector<std::string>{"first"});
        group.cancel();
        co_await group.join();
        CHECK(ended.back() == "second cancelled");
        CHECK_FALSE(happened.try_wait());
    }());
    check_baseline(used);
}

TEST_CASE("a_latch_opens_once_when_its_count_is_zero") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::latch three(3);
        std::vector<std::string> ended;
        task_group group(co_await this_scope{});
        group.spawn(wait_and_note(three, ended, "first"));
        co_await everybody_waits();
        three.count_down(2);
        co_await everybody_waits();
        CHECK(ended.empty());
        CHECK_FALSE(three.try_wait());
        const result<void> arrived = co_await three.arrive_and_wait();
        CHECK(arrived.has_value());
        co_await group.join();
        CHECK(three.try_wait());
        CHECK(ended == std::vector<std::string>{"first"});
        chainring::latch none(0);
        const result<void> open = co_await none.wait();
        CHECK(open.has_value());
    }());
    check_baseline(used);
}

TEST_CASE("at_a_barrier_all_wait_for_the_last_again_and_again") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        barrier each_step(3);
        std::vector<int> steps;
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < 3; ++number)
                group.spawn([](barrier& at, std::vector<int>& log) -> task<> {
                    for (int step = 0; step < 4; ++step) {
                        log.push_back(step);
                        (void)co_await at.arrive_and_wait();
                    }
                }(each_step, steps));
            co_return;
        });
        CHECK(steps == std::vector{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3});
    }());
    check_baseline(used);
}

TEST_CASE("who_is_cancelled_at_a_barrier_has_not_arrived_and_one_that_leaves_is_not_waited_for") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        barrier two(2);
        int gone_on = 0;
        const auto arrives = [](barrier& at, int& count) -> task<> {
            const result<void> waited = co_await at.arrive_and_wait();
            if (waited) ++count;
        };
        task_group cancelled(co_await this_scope{});
        cancelled.spawn(arrives(two, gone_on));
        co_await everybody_waits();
        cancelled.cancel();
        co_await cancelled.join();
        task_group group(co_await this_scope{});
        group.spawn(arrives(two, gone_on));
        co_await everybody_waits();
        CHECK(gone_on == 0);
        two.leave();
        co_await group.join();
        CHECK(gone_on == 1);
        const result<void> alone = co_await two.arrive_and_wait();
        CHECK(alone.has_value());
    }());
    check_baseline(used);
}

TEST_CASE("a_condition_lets_go_of_the_lock_and_holds_it_again") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex lock;
        condition changed;
        int value = 0;
        bool seen = false;
        task_group group(co_await this_scope{});
        group.spawn([](auto& of, auto& change, const int& is, bool& told) -> task<> {
            result<scoped_lock> held = co_await of.lock();
            const result<void> waited = co_await change.wait(*held, [&is] { return is == 2; });
            CHECK(waited.has_value());
            CHECK(*held);
            CHECK_FALSE(of.try_lock().has_value());
            told = true;
        }(lock, changed, value, seen));
        co_await everybody_waits();
        for (int number = 1; number <= 2; ++number) {
            CHECK_FALSE(seen);
            result<scoped_lock> held = co_await lock.lock();
            value = number;
            changed.notify_one();
            held->release();
            co_await everybody_waits();
        }
        co_await group.join();
        CHECK(seen);
        CHECK(lock.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("who_is_cancelled_at_a_condition_holds_the_lock_again") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex lock;
        condition changed;
        result<scoped_lock> held = co_await lock.lock();
        const result<void> late = co_await timeout(1ms, changed.wait(*held));
        CHECK(late == failure(errc::timed_out));
        CHECK(*held);
        CHECK_FALSE(lock.try_lock().has_value());
        task_group group(co_await this_scope{});
        group.cancel();
        group.spawn([](auto& change, scoped_lock& of) -> task<> {
            const result<void> refused = co_await change.wait(of);
            CHECK(refused == failure(errc::cancelled));
            CHECK(of);
        }(changed, *held));
        co_await group.join();
    }());
    check_baseline(used);
}

TEST_CASE("a_notification_of_a_task_that_is_destroyed_is_for_the_next_one") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex lock;
        condition changed;
        int gone_on = 0;
        const auto waits = [](auto& of, auto& change, int& count) -> task<> {
            result<scoped_lock> held = co_await of.lock();
            (void)co_await change.wait(*held);
            ++count;
        };
        std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
        destroyed->spawn(waits(lock, changed, gone_on));
        co_await everybody_waits();
        task_group group(co_await this_scope{});
        group.spawn(waits(lock, changed, gone_on));
        co_await everybody_waits();
        changed.notify_one();
        destroyed.reset();
        co_await group.join();
        CHECK(gone_on == 1);
        group.spawn(waits(lock, changed, gone_on));
        group.spawn(waits(lock, changed, gone_on));
        co_await everybody_waits();
        changed.notify_all();
        co_await group.join();
        CHECK(gone_on == 3);
    }());
    check_baseline(used);
}

TEST_CASE("once_runs_a_task_once_and_again_if_it_failed") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        once done;
        int ran = 0;
        std::vector<std::string> ended;
        const auto calls = [](once& of, int& count, auto& log) -> task<> {
            const auto fails_twice = [&count]() -> task<result<void>> {
                co_await yield();
                if (++count < 3) co_return failure(errc::busy);
                co_return result<void>();
            };
            const result<void> called = co_await of.call(fails_twice);
            log.push_back(called ? "done" : called.error().message());
        };
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < 5; ++number) group.spawn(calls(done, ran, ended));
            co_return;
        });
        CHECK(ran == 3);
        CHECK(done.done());
        const std::string busy = std::error_code(errc::busy).message();
        CHECK(ended == std::vector<std::string>{busy, busy, "done", "done", "done"});
        once throws;
        bool caught = false;
        try {
            (void)co_await throws.call([]() -> task<> {
                throw std::runtime_error("not yet");
                co_return;
            });
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
        CHECK_FALSE(throws.done());
        const result<void> called = co_await throws.call([]() -> task<> { co_return; });
        CHECK(called.has_value());
    }());
    check_baseline(used);
}

TEST_CASE("an_event_may_be_destroyed_by_the_task_that_it_let_go", "[linux]") {
    static constexpr int rounds = optimized ? 1000 : 100;
    std::optional<event> asked;
    std::atomic<event*> answer = nullptr;
    on_executors(2, [&](int number) -> task<> {
        for (int round = 0; round < rounds; ++round) {
            if (number == 0) {
                event mine;
                answer = &mine;
                (void)co_await mine.wait();
            } else {
                event* to_set = nullptr;
                while ((to_set = answer.exchange(nullptr)) == nullptr) co_await yield();
                to_set->set();
            }
        }
    });
}

TEST_CASE("tasks_of_two_executors_meet_at_a_barrier", "[linux]") {
    static constexpr int rounds = optimized ? 2000 : 200;
    static constexpr int tasks = 4;
    barrier each_step(2 * tasks);
    std::atomic<int> arrived = 0;
    std::atomic<int> early = 0;
    on_executors(2, [&](int) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < tasks; ++number)
                group.spawn([](barrier& at, auto& count, auto& wrong) -> task<> {
                    for (int round = 1; round <= rounds; ++round) {
                        ++count;
                        (void)co_await at.arrive_and_wait();
                        if (count < round * 2 * tasks) ++wrong;
                    }
                }(each_step, arrived, early));
            co_return;
        });
    });
    CHECK(early == 0);
    CHECK(arrived == rounds * 2 * tasks);
}

TEST_CASE("conditions_wake_tasks_of_other_executors", "[linux]") {
    static constexpr int rounds = optimized ? 2000 : 200;
    chainring::mutex lock;
    condition changed;
    int whose = 0; // guarded by the lock
    std::atomic<int> turns = 0;
    on_executors(2, [&](int number) -> task<> {
        for (int round = 0; round < rounds; ++round) {
            result<scoped_lock> held = co_await lock.lock();
            (void)co_await changed.wait(*held, [&whose, number] { return whose == number; });
            whose = 1 - number;
            ++turns;
            changed.notify_all();
        }
    });
    CHECK(turns == 2 * rounds);
}
