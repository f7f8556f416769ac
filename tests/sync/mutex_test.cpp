#include "executors.hpp"
#include "runtime/steps.hpp"

#include <algorithm>
#include <array>
#include <barrier>
#include <latch>
#include <optional>
#include <sstream>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<> lock_and_note(chainring::mutex& of, std::vector<int>& order, int number) {
    const result<scoped_lock> held = co_await of.lock();
    order.push_back(held ? number : -number);
}

} // namespace

TEST_CASE("a_free_mutex_is_locked_without_a_suspension") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        const statistics before = executor::current()->stats();
        for (int round = 0; round < 1000; ++round) {
            const result<scoped_lock> held = co_await one.lock();
            CHECK(held.has_value());
            CHECK_FALSE(one.try_lock().has_value());
        }
        const statistics after = executor::current()->stats();
        CHECK(after.resumptions == before.resumptions);
        CHECK(after.enters == before.enters);
        CHECK(one.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("a_mutex_is_handed_over_in_the_order_of_asking") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        co_await scope([&](task_group& group) -> task<> {
            result<scoped_lock> held = co_await one.lock();
            for (int number = 1; number <= 5; ++number) group.spawn(lock_and_note(one, order, number));
            co_await everybody_waits();
            CHECK(order.empty());
            held->release();
            CHECK_FALSE(one.try_lock().has_value()); // nobody passes those who wait
        });
        CHECK(order == std::vector{1, 2, 3, 4, 5});
        CHECK(one.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("who_is_cancelled_while_it_waits_for_a_mutex_leaves_the_line") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        co_await scope([&](task_group& group) -> task<> {
            result<scoped_lock> held = co_await one.lock();
            task_group cancelled(co_await this_scope{});
            group.spawn(lock_and_note(one, order, 1));
            co_await everybody_waits();
            cancelled.spawn(lock_and_note(one, order, 2));
            co_await everybody_waits();
            group.spawn(lock_and_note(one, order, 3));
            co_await everybody_waits();
            cancelled.cancel();
            co_await cancelled.join();
            CHECK(order == std::vector{-2});
            held->release();
        });
        CHECK(order == std::vector{-2, 1, 3});
    }());
    check_baseline(used);
}

TEST_CASE("a_lock_that_was_handed_over_when_the_cancellation_came_is_kept") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        result<scoped_lock> held = co_await one.lock();
        task_group group(co_await this_scope{});
        group.spawn(lock_and_note(one, order, 1));
        co_await everybody_waits();
        held->release();
        group.cancel();
        co_await group.join();
        CHECK(order == std::vector{1});
        CHECK(one.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("in_a_cancelled_scope_a_mutex_is_not_locked") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        task_group group(co_await this_scope{});
        group.cancel();
        group.spawn(lock_and_note(one, order, 1));
        co_await group.join();
        CHECK(order == std::vector{-1});
        CHECK(one.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("a_deadline_ends_the_wait_for_a_mutex") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        const result<scoped_lock> held = co_await one.lock();
        const result<scoped_lock> late = co_await timeout(1ms, one.lock());
        CHECK(late.error() == errc::timed_out);
    }());
    check_baseline(used);
}

TEST_CASE("a_task_that_is_destroyed_with_a_lock_that_it_never_saw_hands_it_on") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        result<scoped_lock> held = co_await one.lock();
        task_group group(co_await this_scope{});
        std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
        destroyed->spawn(lock_and_note(one, order, 1));
        co_await everybody_waits();
        group.spawn(lock_and_note(one, order, 2));
        co_await everybody_waits();
        held->release(); // to the first
        destroyed.reset();
        co_await group.join();
        CHECK(order == std::vector{2});
        CHECK(one.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("a_task_that_locks_a_free_mutex_all_the_time_lets_others_run") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        bool others_ran = false;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](bool& ran) -> task<> {
                ran = true;
                co_return;
            }(others_ran));
            group.spawn([](chainring::mutex& of, const bool& ran) -> task<> {
                co_await yield();
                while (!ran) (void)co_await of.lock();
            }(one, others_ran));
            co_return;
        });
        CHECK(others_ran);
    }());
    check_baseline(used);
}

TEST_CASE("the_dump_says_who_waits_for_a_mutex") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::ostringstream seen;
        co_await scope([&](task_group& group) -> task<> {
            std::vector<int> order;
            result<scoped_lock> held = co_await one.lock();
            group.spawn(lock_and_note(one, order, 1));
            co_await everybody_waits();
            executor::current()->dump(seen);
            held->release();
            co_await group.join();
        });
        CHECK(seen.str().find("lock_and_note at ") != std::string::npos);
        CHECK(seen.str().find(": lock of a mutex, for ") != std::string::npos);
    }());
    check_baseline(used);
}

TEST_CASE("a_lock_on_its_way_from_another_thread_is_of_who_is_cancelled_meanwhile", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        std::optional<scoped_lock> held = one.try_lock();
        task_group group(co_await this_scope{});
        group.spawn(lock_and_note(one, order, 1));
        co_await everybody_waits();
        std::thread([&held] { held.reset(); }).join(); // it lies in the inbox until the next turn
        group.cancel();
        CHECK(order.empty());
        co_await group.join();
        CHECK(order == std::vector{1});
        CHECK(one.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("a_lock_on_its_way_from_another_thread_is_handed_on_by_who_is_destroyed_meanwhile", "[linux]") {
    executor used({}, test_kernel());
    used.run([](bool cancelled_first) -> task<> {
        chainring::mutex one;
        std::vector<int> order;
        std::optional<scoped_lock> held = one.try_lock();
        std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
        destroyed->spawn(lock_and_note(one, order, 1));
        co_await everybody_waits();
        std::thread([&held] { held.reset(); }).join();
        if (cancelled_first) destroyed->cancel();
        destroyed.reset();
        CHECK(one.try_lock().has_value());
        co_await everybody_waits();
        CHECK(order.empty());
    }(GENERATE(false, true)));
    check_baseline(used);
}

TEST_CASE("an_executor_may_end_while_a_lock_is_on_its_way_to_its_task", "[linux]") {
    chainring::mutex one;
    std::vector<int> order;
    const bool is_cancelled = GENERATE(false, true);
    std::optional<scoped_lock> held = one.try_lock();
    std::unique_ptr<task_group> group;
    {
        executor used({}, test_kernel());
        group = std::make_unique<task_group>(used.root_scope());
        group->spawn(lock_and_note(one, order, 1));
        used.run([](auto& holder, task_group& waiting, bool cancels) -> task<> {
            co_await everybody_waits();
            std::thread([&holder] { holder.reset(); }).join();
            if (cancels) waiting.cancel();
        }(held, *group, is_cancelled));
    }
    group.reset();
    CHECK(one.try_lock().has_value());
}

TEST_CASE("a_mutex_is_held_by_one_task_of_many_executors", "[linux]") {
    static constexpr int executors = 2;
    static constexpr int tasks = 64;
    static constexpr int rounds = optimized ? 200 : 20;
    chainring::mutex one;
    guarded_place place;
    long counted = 0; // guarded by the mutex
    on_executors(executors, [&](int) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < tasks; ++number)
                group.spawn([](chainring::mutex& of, guarded_place& in, long& count) -> task<> {
                    for (int round = 0; round < rounds; ++round) {
                        const result<scoped_lock> held = co_await of.lock();
                        in.enter();
                        ++count;
                        if (round % 3 == 0) co_await yield();
                        in.leave();
                    }
                }(one, place, counted));
            co_return;
        });
    });
    CHECK(place.wrong() == 0);
    CHECK(counted == long{executors} * tasks * rounds);
    CHECK(one.try_lock().has_value());
}

TEST_CASE("a_mutex_that_an_executor_was_alone_with_is_shared_when_another_one_comes", "[linux]") {
    static constexpr int mutexes = 20;
    static constexpr int alone = 1000; // enough for its lock to be kept
    static constexpr int together = 50;
    std::array<chainring::mutex, mutexes> all;
    std::array<long, mutexes> counted{}; // guarded by them
    std::barrier both_are_there(2);
    on_executors(2, [&](int number) -> task<> {
        const auto count = [&](std::size_t at, int rounds) -> task<> {
            for (int round = 0; round < rounds; ++round) {
                const result<scoped_lock> held = co_await all[at].lock();
                ++counted[at];
            }
        };
        for (std::size_t at = 0; at < all.size(); ++at) {
            if (number == 0) co_await count(at, alone);
            both_are_there.arrive_and_wait();
            co_await count(at, together);
        }
    });
    CHECK(std::ranges::count(counted, alone + 2 * together) == mutexes);
}

TEST_CASE("a_lock_of_a_mutex_that_an_executor_is_alone_with_is_released_on_another_thread", "[linux]") {
    chainring::mutex one;
    executor used({}, test_kernel());
    used.run([](chainring::mutex& of) -> task<> {
        for (int round = 0; round < 1000; ++round) (void)co_await of.lock();
        result<scoped_lock> held = co_await of.lock();
        bool while_held = true;
        bool afterwards = false;
        std::thread([&] {
            while_held = of.try_lock().has_value();
            held->release();
            afterwards = of.try_lock().has_value();
        }).join();
        CHECK_FALSE(while_held);
        CHECK(afterwards);
        CHECK(of.try_lock().has_value());
    }(one));
}

TEST_CASE("locks_survive_cancellations_and_destructions_on_other_executors", "[linux]") {
    static constexpr int executors = 2;
    static constexpr int rounds = optimized ? 3000 : 300;
    chainring::mutex one;
    guarded_place place;
    std::atomic<int> resumed = 0;
    std::atomic<int> unexpected = 0;
    on_executors(executors, [&](int number) -> task<> {
        for (int round = 0; round < rounds; ++round) {
            const auto lock_once = [](chainring::mutex& of, guarded_place& in, auto& count,
                                      auto& wrong) -> task<> {
                const result<scoped_lock> held = co_await of.lock();
                ++count;
                if (!held && held.error() != errc::cancelled) ++wrong;
                if (!held) co_return;
                in.enter();
                co_await yield();
                in.leave();
            };
            std::optional<task_group> group(std::in_place, co_await this_scope{});
            for (int task = 0; task < 3; ++task) group->spawn(lock_once(one, place, resumed, unexpected));
            for (int step = 0; step < (round + number) % 4; ++step) co_await yield();
            if (round % 5 == 0) {
                // A task that is destroyed within the place leaves it.
                std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
                destroyed->spawn([](chainring::mutex& of) -> task<> { (void)co_await of.lock(); }(one));
                co_await yield();
                destroyed.reset();
            }
            group->cancel();
            co_await group->join();
        }
    });
    CHECK(place.wrong() == 0);
    CHECK(unexpected == 0);
    CHECK(resumed == executors * rounds * 3);
    CHECK(one.try_lock().has_value());
}

TEST_CASE("a_mutex_may_be_destroyed_by_the_task_that_got_it_last", "[linux]") {
    static constexpr int rounds = optimized ? 300 : 50;
    std::optional<chainring::mutex> shared;
    std::atomic<int> turn = 0; // of whom, and in which round
    on_executors(2, [&](int number) -> task<> {
        for (int round = 0; round < rounds; ++round) {
            if (number == 0) {
                shared.emplace();
                {
                    const result<scoped_lock> held = co_await shared->lock();
                    turn = 2 * round + 1;
                    for (int step = 0; step < round % 3; ++step) co_await yield();
                }
                while (turn != 2 * round + 2) co_await yield();
            } else {
                while (turn != 2 * round + 1) co_await yield();
                {
                    const result<scoped_lock> held = co_await shared->lock();
                }
                shared.reset(); // the other thread may be on its way out still
                turn = 2 * round + 2;
            }
        }
    });
}

TEST_CASE("an_executor_may_end_while_its_task_waits_for_a_mutex_of_another_one", "[linux]") {
    chainring::mutex one;
    for (int round = 0; round < 60; ++round) {
        std::latch waiting(1);
        std::optional<scoped_lock> held = one.try_lock();
        std::jthread other([&, round] {
            std::unique_ptr<task_group> group;
            executor used({}, test_kernel());
            group = std::make_unique<task_group>(used.root_scope());
            group->spawn([](chainring::mutex& of) -> task<> { (void)co_await of.lock(); }(one));
            used.run([](std::latch& told) -> task<> {
                co_await yield();
                told.count_down();
            }(waiting));
            // In the other rounds the executor ends first: the task is cancelled then, and destroyed when it has gone.
            if (round % 2 == 0) group.reset();
        });
        waiting.wait();
        held.reset();
        other.join();
        CHECK(one.try_lock().has_value());
    }
}
