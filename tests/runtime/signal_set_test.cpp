#include "runtime/signal_handler.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <signal.h>

#include <optional>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

signal_set opened(const std::vector<int>& signals) {
    result<signal_set> set = signal_set::open(signals);
    if (!set) FAIL("signal_set: " << set.error().message());
    return std::move(*set);
}

std::error_code refusal(const std::vector<int>& signals) {
    const result<signal_set> set = signal_set::open(signals);
    return set ? std::error_code() : set.error();
}

void ignoring_handler(int) {}

} // namespace

TEST_CASE("a_signal_is_awaited_and_the_handler_before_is_put_back", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([]() -> task<> {
        {
            signal_set set = opened({SIGUSR1, SIGUSR2});
            CHECK(handler_of(SIGUSR1) != SIG_DFL);
            co_await scope([&](task_group& group) -> task<> {
                std::vector<int> got;
                group.spawn([](signal_set& from, std::vector<int>& into) -> task<> {
                    for (int count = 0; count < 2; ++count) {
                        const result<int> next = co_await from.next();
                        REQUIRE(next.has_value());
                        into.push_back(*next);
                    }
                }(set, got));
                co_await yield();
                ::raise(SIGUSR2);
                while (got.empty()) co_await next_turn{};
                ::raise(SIGUSR1);
                co_await group.join();
                CHECK(got == std::vector<int>{SIGUSR2, SIGUSR1});
            });
        }
        CHECK(handler_of(SIGUSR1) == SIG_DFL);
        CHECK(handler_of(SIGUSR2) == SIG_DFL);
    }());
    check_baseline(used);
}

TEST_CASE("a_signal_wakes_a_sleeping_executor_from_any_thread", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    std::optional<std::thread> sender;
    used.run([](auto& other) -> task<> {
        signal_set set = opened({SIGUSR1});
        for (int round = 0; round < 100; ++round) {
            other.emplace([] { ::raise(SIGUSR1); });
            const result<int> got = co_await set.next();
            CHECK(got == SIGUSR1);
            other->join();
        }
    }(sender));
    check_baseline(used);
}

TEST_CASE("signals_that_arrive_while_nobody_waits_are_kept_one_of_each", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        signal_set set = opened({SIGUSR1, SIGUSR2, SIGRTMAX});
        for (int count = 0; count < 3; ++count) {
            ::raise(SIGRTMAX);
            ::raise(SIGUSR2);
            ::raise(SIGUSR1);
        }
        for (int turn = 0; turn < 3; ++turn) co_await next_turn{};
        std::vector<int> got;
        for (int count = 0; count < 3; ++count) {
            const result<int> next = co_await set.next();
            REQUIRE(next.has_value());
            got.push_back(*next);
        }
        CHECK(got == std::vector<int>{SIGUSR1, SIGUSR2, SIGRTMAX});
        const result<int> none = co_await timeout(duration::zero(), set.next());
        CHECK(none == failure(errc::timed_out));
    }());
    check_baseline(used);
}

TEST_CASE("a_wait_for_a_signal_can_be_cancelled_without_losing_one_and_is_one_at_a_time", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        signal_set set = opened({SIGUSR1});
        result<int> first = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](signal_set& from, result<int>& outcome) -> task<> {
                outcome = co_await from.next();
            }(set, first));
            co_await yield();
            const result<int> second = co_await set.next();
            CHECK(second == failure(errc::busy));
            group.cancel();
            ::raise(SIGUSR1);
        });
        CHECK(first == failure(errc::cancelled));
        const result<int> kept = co_await set.next();
        CHECK(kept == SIGUSR1);
        signal_set taken = std::move(set);
        const result<int> moved_from = co_await set.next(); // NOLINT(bugprone-use-after-move): it says so
        CHECK(moved_from == failure(errc::closed));
    }());
    check_baseline(used);
}

TEST_CASE("a_signal_that_somebody_handles_already_is_refused", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        {
            signal_set set = opened({SIGUSR1});
            CHECK(refusal({SIGUSR2, SIGUSR1}) == errc::signal_taken);
            CHECK(handler_of(SIGUSR2) == SIG_DFL); // all or none
        }
        struct sigaction own{};
        own.sa_handler = ignoring_handler;
        struct sigaction before{};
        ::sigaction(SIGUSR1, &own, &before);
        CHECK(refusal({SIGUSR1}) == errc::signal_taken);
        CHECK(handler_of(SIGUSR1) == ignoring_handler);
        ::sigaction(SIGUSR1, &before, nullptr);
        CHECK(refusal({SIGUSR1}) == std::error_code());
        co_return;
    }());
    runtime{}.run([]() -> task<> {
        CHECK(refusal({SIGTERM}) == errc::signal_taken);
        co_return;
    }());
    struct sigaction of_the_test{};
    struct sigaction nobodys{};
    nobodys.sa_handler = SIG_DFL;
    ::sigaction(SIGTERM, &nobodys, &of_the_test);
    runtime{{.executor = {}, .stop_on_signals = false}}.run([]() -> task<> {
        CHECK(refusal({SIGTERM}) == std::error_code());
        co_return;
    }());
    ::sigaction(SIGTERM, &of_the_test, nullptr);
}

TEST_CASE("what_is_no_signal_or_cannot_be_handled_is_refused", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        for (const int signal :
             std::vector<int>{0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
            CAPTURE(signal);
            CHECK(refusal({signal}) == std::errc::invalid_argument);
        }
        co_return;
    }());
    CHECK(refusal({SIGUSR1}) == std::errc::operation_not_permitted);
}

TEST_CASE("a_set_of_no_signals_is_refused_and_one_that_is_named_twice_counts_once", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        CHECK(refusal({}) == std::errc::invalid_argument);
        CHECK(refusal({SIGUSR1, SIGUSR1, SIGKILL}) == std::errc::invalid_argument);
        CHECK(handler_of(SIGUSR1) == SIG_DFL);
        {
            signal_set set = opened({SIGUSR1, SIGUSR2, SIGUSR1});
            ::raise(SIGUSR1);
            const result<int> got = co_await set.next();
            CHECK(got == SIGUSR1);
            const result<int> none = co_await timeout(duration::zero(), set.next());
            CHECK(none == failure(errc::timed_out));
        }
        CHECK(handler_of(SIGUSR1) == SIG_DFL);
        CHECK(refusal({SIGUSR1}) == std::error_code());
    }());
    check_baseline(used);
}

TEST_CASE("a_set_that_dies_with_a_signal_on_its_way_is_no_ones", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        {
            signal_set set = opened({SIGUSR1});
            ::raise(SIGUSR1);
        }
        {
            signal_set again = opened({SIGUSR1});
            const result<int> none = co_await timeout(duration::zero(), again.next());
            CHECK(none == failure(errc::timed_out));
        }
        task_group group(co_await this_scope{});
        group.spawn([]() -> task<> {
            signal_set waiting = opened({SIGUSR1});
            (void)co_await waiting.next();
            FAIL("resumed");
        }());
        co_await yield();
    }());
    CHECK(handler_of(SIGUSR1) == SIG_DFL);
    check_baseline(used);
}

TEST_CASE("a_set_that_outlives_its_executor_hears_of_nothing_any_more", "[linux]") {
    std::optional<signal_set> kept;
    {
        executor used({}, test_kernel());
        used.run([](std::optional<signal_set>& set) -> task<> {
            set.emplace(opened({SIGUSR1}));
            ::raise(SIGUSR1); // is on its way when the executor ends
            co_return;
        }(kept));
    }
    CHECK(handler_of(SIGUSR1) == SIG_DFL);
    executor other({}, test_kernel());
    other.run([](signal_set& set) -> task<> {
        const result<int> none = co_await set.next();
        CHECK(none == failure(errc::closed));
    }(*kept));
    kept.reset();
    check_baseline(other);
}

// A blocked signal is somebody else's: it would never arrive here.
TEST_CASE("a_signal_that_the_thread_blocks_is_refused", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        sigset_t blocked;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
        CHECK(refusal({SIGUSR1}) == errc::signal_taken);
        CHECK(refusal({SIGUSR2, SIGUSR1}) == errc::signal_taken);
        CHECK(handler_of(SIGUSR1) == SIG_DFL);
        CHECK(handler_of(SIGUSR2) == SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
        CHECK_FALSE(refusal({SIGUSR1}));
        co_return;
    }());
    check_baseline(used);
}
