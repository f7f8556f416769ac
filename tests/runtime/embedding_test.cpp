#include "runtime/host_loop.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>

#include <random>
#include <stdexcept>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

const auto ignore_end = [](const ended_task<void>&) {};

task<> count_reads(int descriptor, unsigned& count) {
    for (;;) {
        char byte = 0;
        const auto got = co_await uring([&](io_uring_sqe& sqe) { prepare_read(sqe, descriptor, &byte, 1); });
        if (!got || *got != 1) co_return;
        ++count;
    }
}

} // namespace

TEST_CASE("a_spawned_task_runs_within_another_loop_and_tells_its_value") {
    executor home(options_for(GENERATE(both_modes())), test_kernel());
    host_loop host(home);
    int value = 0;
    spawn(
        home,
        []() -> task<int> {
            co_await sleep(1ms);
            (void)co_await no_operation();
            co_return 42;
        }(),
        [&](ended_task<int> end) { value = end.value(); });
    CHECK(value == 0);
    host.run_until([&] { return value != 0; });
    CHECK(value == 42);
    check_baseline(home);
}

TEST_CASE("an_exception_of_a_spawned_task_is_told") {
    executor home({}, test_kernel());
    host_loop host(home);
    std::exception_ptr thrown;
    spawn(
        home,
        []() -> task<> {
            (void)co_await no_operation();
            throw std::runtime_error("user");
        }(),
        [&](const ended_task<void>& end) { thrown = end.error(); });
    host.run_until([&] { return thrown != nullptr; });
    CHECK_THROWS_AS(std::rethrow_exception(thrown), std::runtime_error);
}

TEST_CASE("a_spawned_task_that_has_not_ended_dies_with_its_executor") {
    const bool started = GENERATE(false, true);
    bool told = false;
    bool destroyed = false;
    struct watched {
        bool& flag;
        ~watched() { flag = true; }
    };
    const auto forever = [](bool& flag) -> task<> {
        const watched local{flag};
        co_await sleep(24h);
    };
    {
        executor home({}, test_kernel());
        spawn(home, forever(destroyed), [&](const ended_task<void>&) { told = true; });
        while (started && home.pump()) {
        }
        CHECK_FALSE(destroyed);
    }
    CHECK(destroyed == started);
    CHECK_FALSE(told);
}

namespace {

// Whether the task has ended because the hard deadline had passed.
bool is_overdue(const ended_task<void>& end) {
    if (end) return false;
    try {
        std::rethrow_exception(end.error());
    } catch (const shutdown_overdue&) {
        return true;
    } catch (...) {
        return false;
    }
}

task<> ignores_cancellation(int& destroyed) {
    const counts_its_end local(destroyed);
    (void)co_await shield(sleep(24h));
    FAIL("it was waited for");
}

constexpr shutdown_limits in_a_moment{.soft = {}, .hard = 1ms};

} // namespace

TEST_CASE("at_the_hard_deadline_a_pump_destroys_the_tasks_and_tells_who_spawned_them") {
    executor home(options_for(GENERATE(both_modes())), test_kernel());
    host_loop host(home);
    graceful_shutdown shutdown(home, in_a_moment);
    int destroyed = 0;
    int told = 0;
    const auto tell = [&](const ended_task<void>& end) {
        CHECK(destroyed > told); // it is gone already
        CHECK(is_overdue(end));
        ++told;
    };
    for (int each = 0; each < 3; ++each) spawn(home, ignores_cancellation(destroyed), tell);
    host.come_to_rest();
    CHECK_FALSE(home.gave_up());
    home.post([&] { shutdown.begin(); });
    host.run_until([&] { return told == 3; });
    CHECK(home.gave_up());
    host.come_to_rest();
    CHECK(destroyed == 3);
    CHECK(told == 3);
    check_baseline(home);
}

TEST_CASE("a_task_that_is_spawned_behind_the_hard_deadline_is_given_up_as_well") {
    executor home({}, test_kernel());
    host_loop host(home);
    graceful_shutdown shutdown(home, in_a_moment);
    int destroyed = 0;
    bool told = false;
    // Because of the other's end, as who starts a server again does.
    spawn(home, ignores_cancellation(destroyed), [&](const ended_task<void>&) {
        spawn(home, ignores_cancellation(destroyed), [&](const ended_task<void>& end) {
            told = is_overdue(end);
        });
    });
    home.post([&] { shutdown.begin(); });
    host.run_until([&] { return told; });
    CHECK(destroyed == 2);
    check_baseline(home);
}

TEST_CASE("at_the_hard_deadline_a_run_gives_up_the_spawned_tasks_beside_its_own") {
    executor home({}, test_kernel());
    graceful_shutdown shutdown(home, in_a_moment);
    int destroyed = 0;
    bool told = false;
    spawn(
        home, ignores_cancellation(destroyed), [&](const ended_task<void>& end) { told = is_overdue(end); });
    CHECK_THROWS_AS(
        home.run([](graceful_shutdown& ending, int& gone) -> task<> {
            ending.begin();
            co_await ignores_cancellation(gone);
        }(shutdown, destroyed)),
        shutdown_overdue);
    CHECK(told);
    CHECK(destroyed == 2);
    check_baseline(home);
}

TEST_CASE("spawned_tasks_go_on_during_a_run_and_after_it") {
    executor home(options_for(GENERATE(both_modes())), test_kernel());
    host_loop host(home);
    const pipe_ends pipe;
    unsigned count = 0;
    spawn(home, count_reads(pipe.reading(), count), ignore_end);
    pipe.write("x");
    host.run_until([&] { return count == 1; });
    pipe.write("x");
    home.run([](const unsigned& counted) -> task<> {
        while (counted < 2) co_await sleep(1ms);
    }(count));
    pipe.write("x");
    host.run_until([&] { return count == 3; });
}

TEST_CASE("the_handle_is_readable_once_there_is_work_and_rests_afterwards", "[linux]") {
    executor home(options_for(GENERATE(both_modes())), test_kernel());
    host_loop host(home);
    host.come_to_rest();
    CHECK_FALSE(home.next_deadline());

    SECTION("a post of another thread") {
        bool ran = false;
        std::thread([&] { home.post([&] { ran = true; }); }).join();
        CHECK(host.is_readable());
        CHECK_FALSE(ran);
        CHECK(host.come_to_rest() <= 1);
        CHECK(ran);
    }
    SECTION("a post of the loop's callbacks") {
        bool ran = false;
        home.post([&] { ran = true; });
        CHECK(host.is_readable());
        CHECK(host.come_to_rest() <= 1);
        CHECK(ran);
    }
    SECTION("a completion") {
        const pipe_ends pipe;
        unsigned count = 0;
        spawn(home, count_reads(pipe.reading(), count), ignore_end);
        host.come_to_rest();
        CHECK(count == 0);
        CHECK_FALSE(host.is_readable());
        for (unsigned burst = 1; burst < 20; ++burst) {
            pipe.write("x");
            CHECK(host.is_readable());
            CHECK(host.come_to_rest() <= 1);
            CHECK(count == burst);
        }
    }
    SECTION("a timer") {
        spawn(home, []() -> task<> { co_await sleep(24h); }(), ignore_end);
        host.come_to_rest();
        REQUIRE(home.next_deadline());
        // It may be early, by a slot of the wheel in which a timer so far away lies: 19.5 hours.
        CHECK(*home.next_deadline() > std::chrono::steady_clock::now() + 4h);
        CHECK(*home.next_deadline() < std::chrono::steady_clock::now() + 25h);
        CHECK_FALSE(host.is_readable());
    }
}

TEST_CASE("a_pump_carries_out_no_more_turns_than_asked_for") {
    executor home({}, test_kernel());
    host_loop host(home);
    const auto takes_many_turns = [](bool& end) -> task<> {
        for (int i = 0; i < 100; ++i) co_await next_turn();
        end = true;
    };
    bool ended = false;
    spawn(home, takes_many_turns(ended), ignore_end);
    host.come_to_rest();
    CHECK(ended);
    bool again = false;
    spawn(home, takes_many_turns(again), ignore_end);
    const auto before = home.stats().turns;
    CHECK(home.pump(5));
    CHECK(home.stats().turns == before + 5);
    CHECK_FALSE(again);
}

TEST_CASE("a_pump_on_another_thread_or_within_a_turn_is_refused", "[linux]") {
    executor home({}, test_kernel());
    host_loop host(home);
    std::thread([&] {
        CHECK_THROWS_AS(home.pump(), std::logic_error);
        CHECK_THROWS_AS(home.native_handle(), std::logic_error);
    }).join();
    bool refused = false;
    home.post([&] {
        CHECK_THROWS_AS(home.pump(), std::logic_error);
        CHECK_THROWS_AS(home.native_handle(), std::logic_error);
        refused = true;
    });
    host.run_until([&] { return refused; });
}

TEST_CASE("no_wake_up_is_lost_among_posts_completions_timers_and_the_loops_own_work", "[linux]") {
    constexpr unsigned rounds = optimized ? 100'000 : 20'000;
    executor home(options_for(GENERATE(both_modes())), test_kernel());
    host_loop host(home);
    const pipe_ends pipe;
    unsigned received = 0;
    spawn(home, count_reads(pipe.reading(), received), ignore_end);
    std::atomic<unsigned> wanted = 0; // what the other thread is to post for
    std::atomic<bool> stop = false;
    std::atomic<unsigned> posted = 0;
    std::thread poster([&] {
        for (unsigned seen = 0; !stop;) {
            wanted.wait(seen);
            for (const unsigned now = wanted; seen != now; ++seen) home.post([&] { ++posted; });
        }
    });
    std::mt19937 random(1);
    unsigned sent = 0;
    unsigned slept = 0;
    unsigned asked = 0;
    unsigned own = 0;
    unsigned to_sleep = 0;
    unsigned own_done = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        const unsigned burst = 1 + random() % 3;
        for (unsigned each = 0; each < burst; ++each) {
            switch (random() % 4) {
            case 0:
                pipe.write("x");
                ++sent;
                break;
            case 1:
                ++asked;
                ++wanted;
                wanted.notify_one();
                break;
            case 2:
                // A tick of the wheel is far longer than a round.
                if (random() % 100 != 0) break;
                ++to_sleep;
                spawn(
                    home, []() -> task<> { co_await sleep(1us); }(),
                    [&](const ended_task<void>&) { ++slept; });
                break;
            default: ++own; home.post([&] { ++own_done; });
            }
        }
        host.run_until(
            [&] { return received == sent && posted == asked && slept == to_sleep && own_done == own; });
    }
    stop = true;
    ++wanted;
    wanted.notify_one();
    poster.join();
    CHECK(host.come_to_rest() <= 2);
}
