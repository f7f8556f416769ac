// How many threads a pool has, what it refuses, and how it ends.
#include "runtime/held_work.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <pthread.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;

TEST_CASE("a_full_queue_refuses_work_at_once_and_takes_it_again_when_there_is_room", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const std::size_t limit = GENERATE(0U, 1U, 5U);
    blocking_pool pool({.threads = 1, .queue_limit = limit});
    held_work first;
    used.run([](blocking_pool& pool_, std::size_t limit_, held_work& first_) -> task<> {
        outcome of_first;
        std::vector<outcome> waiting(limit_);
        task_group group(co_await this_scope{});
        group.spawn(store(pool_, running(first_), of_first));
        for (outcome& each : waiting) group.spawn(store(pool_, [] { return 1; }, each));
        for (std::size_t i = 0; i <= limit_; ++i) co_await yield();
        first_.running.acquire();
        CHECK(pool_.queued() == limit_);
        const result<int> refused = co_await offload(pool_, [] { return 2; });
        CHECK(refused == failure(errc::queue_full));
        CHECK_FALSE(of_first.resumed);
        first_.may_end.release();
        co_await group.join();
        for (const outcome& each : waiting) CHECK(each.value == 1);
        const result<int> taken = co_await offload(pool_, [] { return 2; });
        CHECK(taken == 2);
    }(pool, limit, first));
    check_baseline(used);
}

TEST_CASE("threads_are_started_when_work_finds_none_idle_and_never_more_than_the_limit", "[linux]") {
    executor used({}, test_kernel());
    blocking_pool pool({.threads = 3});
    CHECK(pool.threads() == 0);
    used.run([](blocking_pool& pool_) -> task<> {
        for (int i = 0; i < 20; ++i) {
            const result<int> returned = co_await offload(pool_, [i] { return i; });
            CHECK(returned == i);
        }
        CHECK(pool_.threads() == 1); // it was idle each time
        std::latch three_run(3);
        std::atomic<int> started = 0;
        std::array<outcome, 6> outcomes;
        task_group group(co_await this_scope{});
        for (outcome& each : outcomes) {
            auto work = [&three_run, &started] {
                if (started.fetch_add(1) < 3) three_run.arrive_and_wait();
                return 1;
            };
            group.spawn(store(pool_, work, each));
        }
        co_await group.join();
        for (const outcome& each : outcomes) CHECK(each.value == 1);
        CHECK(pool_.threads() == 3);
    }(pool));
    check_baseline(used);
}

TEST_CASE("a_pool_has_at_least_one_thread", "[linux]") {
    executor used({}, test_kernel());
    blocking_pool pool({.threads = 0, .queue_limit = 0});
    used.run([](blocking_pool& pool_) -> task<> {
        const result<int> returned = co_await offload(pool_, [] { return 1; });
        CHECK(returned == 1);
    }(pool));
}

TEST_CASE("a_pools_threads_take_no_signals_and_their_starter_takes_them_as_before", "[linux]") {
    executor used({}, test_kernel());
    blocking_pool pool;
    used.run([](blocking_pool& pool_) -> task<> {
        sigset_t before;
        pthread_sigmask(SIG_SETMASK, nullptr, &before);
        const result<sigset_t> there = co_await offload(pool_, [] {
            sigset_t mask;
            pthread_sigmask(SIG_SETMASK, nullptr, &mask);
            return mask;
        });
        REQUIRE(there.has_value());
        sigset_t after;
        pthread_sigmask(SIG_SETMASK, nullptr, &after);
        const std::array signals = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2};
        for (const int signal : signals) {
            CHECK(sigismember(&*there, signal) == 1);
            CHECK(sigismember(&after, signal) == sigismember(&before, signal));
        }
    }(pool));
}

TEST_CASE("a_pool_that_ends_lets_its_work_end_and_refuses_what_waits", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    held_work work;
    used.run([](held_work& work_) -> task<> {
        auto pool = std::make_unique<blocking_pool>(blocking_pool_options{.threads = 1});
        outcome of_work;
        outcome of_waiting;
        task_group group(co_await this_scope{});
        group.spawn(store(*pool, running(work_), of_work));
        group.spawn(store(*pool, [] { return 1; }, of_waiting));
        co_await yield();
        co_await yield();
        work_.running.acquire();
        CHECK(pool->queued() == 1);
        auto too_late = offload(*pool, [] { return 1; });
        // Only once the pool has refused what waits: its thread would take that next.
        std::thread letting_it_end([&work_, ending = pool.get()] {
            while (ending->queued() != 0) std::this_thread::yield();
            work_.may_end.release();
        });
        pool.reset();
        letting_it_end.join();
        CHECK(work_.ended);
        co_await group.join();
        CHECK(of_work.value == 7);
        CHECK(of_waiting.value == failure(errc::closed));
        const result<int> refused = co_await std::move(too_late);
        CHECK(refused == failure(errc::closed));
    }(work));
    check_baseline(used);
}
