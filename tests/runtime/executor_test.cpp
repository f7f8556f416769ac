#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/try.hpp>

#include <fcntl.h>

#include <stdexcept>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

task<> empty_task() {
    co_return;
}

} // namespace

TEST_CASE("run_returns_when_the_task_has_ended_and_can_be_called_again") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    for (int i = 0; i < 3; ++i) {
        const int value = used.run([](int given) -> task<int> {
            (void)co_await no_operation();
            co_return given;
        }(i));
        CHECK(value == i);
    }
    check_baseline(used);
}

TEST_CASE("an_exception_comes_out_of_run_and_the_executor_goes_on") {
    executor used({}, test_kernel());
    const bool suspends = GENERATE(false, true);
    auto thrower = [](bool first_suspends) -> task<> {
        if (first_suspends) (void)co_await no_operation();
        throw std::runtime_error("user");
    };
    CHECK_THROWS_AS(used.run(thrower(suspends)), std::runtime_error);
    used.run(empty_task());
    check_baseline(used);
}

TEST_CASE("run_within_its_own_run_is_refused") {
    executor used({}, test_kernel());
    used.run([](executor& home) -> task<> {
        CHECK_THROWS_AS(home.run(empty_task()), std::logic_error);
        (void)co_await no_operation();
        CHECK_THROWS_AS(home.run(empty_task()), std::logic_error);
    }(used));
    check_baseline(used);
}

TEST_CASE("run_on_another_thread_than_the_first_is_refused", "[linux]") {
    executor used({}, test_kernel());
    used.run(empty_task());
    bool refused = false;
    std::thread([&] {
        try {
            used.run(empty_task());
        } catch (const std::logic_error&) {
            refused = true;
        }
    }).join();
    CHECK(refused);
    used.run(empty_task());
}

TEST_CASE("an_executor_made_on_one_thread_can_run_on_another", "[linux]") {
    auto made_here = std::make_unique<executor>();
    int value = 0;
    std::thread([&] {
        value = made_here->run([]() -> task<int> {
            (void)co_await no_operation();
            co_return 3;
        }());
        made_here.reset();
    }).join();
    CHECK(value == 3);
}

TEST_CASE("an_executor_may_run_within_another_ones_task") {
    executor outer({}, test_kernel());
    executor inner({}, test_kernel());
    CHECK(executor::current() == nullptr);
    outer.run([](executor& outer_, executor& inner_) -> task<> {
        (void)co_await no_operation();
        CHECK(executor::current() == &outer_);
        inner_.run([](executor& expected) -> task<> {
            (void)co_await no_operation();
            CHECK(executor::current() == &expected);
        }(inner_));
        CHECK(executor::current() == &outer_);
        (void)co_await no_operation();
    }(outer, inner));
    CHECK(executor::current() == nullptr);
}

TEST_CASE("an_executor_that_never_ran_can_be_destroyed") {
    const std::size_t before = open_descriptors();
    {
        executor unused(options_for(GENERATE(both_modes())), test_kernel());
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("an_executor_leaves_no_descriptor_behind") {
    const std::size_t before = open_descriptors();
    {
        executor used(options_for(GENERATE(both_modes())), test_kernel());
        used.run([]() -> task<> { (void)co_await sleep(std::chrono::microseconds(1)); }());
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("run_waits_for_the_closes_that_its_task_left_behind", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends watched;
    const int dropped = ::fcntl(watched.writing(), F_DUPFD_CLOEXEC, 0);
    const std::size_t before = open_descriptors();
    used.run([](executor& home, int descriptor) -> task<> {
        home.dispose({.number = descriptor}, {});
        co_return;
    }(used, dropped));
    CHECK(open_descriptors() == before - 1);
    check_baseline(used);
}

TEST_CASE("run_waits_for_the_closes_of_what_a_root_task_held_when_it_ended_at_a_try", "[linux]") {
    struct dropping {
        executor& home;
        int descriptor;
        ~dropping() { home.dispose({.number = descriptor}, {}); }
    };
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends watched;
    const int dropped = ::fcntl(watched.writing(), F_DUPFD_CLOEXEC, 0);
    const std::size_t before = open_descriptors();
    const result<void> outcome = used.run([](executor& home, int descriptor) -> task<result<void>> {
        const dropping local{home, descriptor};
        co_await try_(result<void>(failure(errc::closed)));
        co_return {};
    }(used, dropped));
    CHECK(outcome == failure(errc::closed));
    CHECK(open_descriptors() == before - 1);
    check_baseline(used);
}

TEST_CASE("many_descriptors_are_closed_through_a_small_queue") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 4;
    executor used(options, test_kernel());
    pipe_ends watched;
    std::vector<int> dropped;
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 50; ++i) dropped.push_back(::fcntl(watched.writing(), F_DUPFD_CLOEXEC, 0));
    used.run([](executor& home, std::vector<int>& descriptors) -> task<> {
        for (const int descriptor : descriptors) home.dispose({.number = descriptor}, {});
        co_return;
    }(used, dropped));
    CHECK(open_descriptors() == before);
    CHECK(used.stats().descriptors_closed == 50);
    check_baseline(used);
}

// A ring with both flags would be one with DEFER_TASKRUN alone (tests/kernel/waiting.cpp).
TEST_CASE("a_ring_has_the_flag_of_its_mode_and_not_that_of_the_other", "[linux]") {
    class ring_watcher final : public forwarding_kernel {
      public:
        int open_ring(io_uring& ring, const ring_options& options) noexcept override {
            const int returned = forwarding_kernel::open_ring(ring, options);
            flags = ring.flags & (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN);
            return returned;
        }
        unsigned flags = 0;
    } watcher;
    const task_work_mode mode = GENERATE(both_modes());
    const executor made(options_for(mode), watcher);
    CHECK(
        watcher.flags ==
        (mode == task_work_mode::throughput ? IORING_SETUP_DEFER_TASKRUN : IORING_SETUP_COOP_TASKRUN));
}
