// What ends a sleep: the first completion, or several that are gathered while there is much to do.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>

#include <memory>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

constexpr gathering several{.completions = 16, .at_most = 50us};

struct watching final : forwarding_kernel {
    unsigned waited_for = 0; // completions, in the last sleep
    std::chrono::microseconds for_all{};
    bool knows_minimum = true;

    int open_ring(io_uring& ring, const ring_options& options) noexcept override {
        const int returned = forwarding_kernel::open_ring(ring, options);
        if (!knows_minimum) ring.features &= ~static_cast<unsigned>(IORING_FEAT_MIN_TIMEOUT);
        return returned;
    }
    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        if (wait.completions != 0) {
            waited_for = wait.completions;
            for_all = wait.for_all;
        }
        return forwarding_kernel::enter(ring, to_submit, wait, flags);
    }
};

executor_options gathering_options(const gathering& wanted) {
    executor_options options;
    options.ring.gather = wanted;
    return options;
}

task<> read_one(const pipe_ends& from) {
    char byte = 0;
    const result<int> read = co_await read_into(from.reading(), {&byte, 1});
    CHECK(read == 1);
}

// From now on a sleep submits what a task has begun, and no poll for posts.
task<> sleep_once() {
    const auto slept = co_await sleep(1us);
    CHECK(slept);
}

// A sleep brings two completions.
task<> be_busy() {
    pipe_ends first;
    pipe_ends second;
    co_await scope([&](task_group& readers) -> task<> {
        readers.spawn(read_one(first));
        readers.spawn(read_one(second));
        co_await next_turn{}; // they have begun
        co_await next_turn{}; // and are in the kernel
        first.write("x");
        second.write("x");
    });
}

// What it brings is there before the sleep.
task<> be_alone() {
    pipe_ends only;
    only.write("x");
    co_await read_one(only);
}

// Of an executor with these options: for how many completions it sleeps behind a sleep that brought several.
unsigned waited_for_when_busy(watching& kernel, const executor_options& options) {
    executor used(options, kernel);
    unsigned waited_for = 0;
    used.run([](watching& sleeps, unsigned& seen) -> task<> {
        co_await sleep_once();
        co_await be_busy();
        co_await be_alone();
        seen = sleeps.waited_for;
    }(kernel, waited_for));
    check_baseline(used);
    return waited_for;
}

} // namespace

TEST_CASE("who_does_not_ask_for_several_completions_sleeps_until_the_first") {
    watching kernel;
    CHECK(waited_for_when_busy(kernel, gathering_options({})) == 1);
}

TEST_CASE("a_sleep_behind_one_that_brought_several_completions_gathers_several") {
    watching kernel;
    executor used(gathering_options(several), kernel);
    used.run([](watching& sleeps) -> task<> {
        co_await sleep_once();
        co_await be_busy();
        CHECK(sleeps.waited_for == 1);
        co_await be_alone();
        CHECK(sleeps.waited_for == 16);
        CHECK(sleeps.for_all == 50us);
        co_await be_alone(); // behind one that brought its own only
        CHECK(sleeps.waited_for == 1);
        CHECK(sleeps.for_all == 0us);
    }(kernel));
    check_baseline(used);
}

TEST_CASE("a_sleep_that_a_timer_ends_sooner_gathers_nothing") {
    watching kernel;
    executor used(gathering_options({.completions = 16, .at_most = 100ms}), kernel);
    used.run([](watching& sleeps) -> task<> {
        co_await sleep_once();
        co_await be_busy();
        co_await sleep_once();
        CHECK(sleeps.waited_for == 1);
        co_await be_busy();
        (void)co_await timeout(1h, be_alone());
        CHECK(sleeps.waited_for == 16);
    }(kernel));
    check_baseline(used);
}

TEST_CASE("who_destroys_a_task_waits_for_the_end_of_its_operation_and_gathers_nothing") {
    watching kernel;
    executor used(gathering_options(several), kernel);
    used.run([](watching& sleeps) -> task<> {
        const pipe_ends silent;
        co_await sleep_once();
        co_await be_busy();
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn(read_one(silent));
        co_await next_turn{}; // it has begun
        co_await next_turn{}; // and is in the kernel
        sleeps.waited_for = 0;
        group.reset();
        CHECK(sleeps.waited_for == 1);
        co_await be_alone();
        CHECK(sleeps.waited_for == 16); // as before
    }(kernel));
    check_baseline(used);
}

TEST_CASE("in_latency_mode_nothing_is_gathered") {
    watching kernel;
    executor_options options = gathering_options(several);
    options.ring.mode = task_work_mode::latency;
    CHECK(waited_for_when_busy(kernel, options) == 1);
}

TEST_CASE("no_more_is_gathered_than_half_of_the_completion_queue_holds") {
    watching kernel;
    executor_options options = gathering_options(several);
    options.ring.submission_entries = 8;
    options.ring.completion_entries = 16;
    CHECK(waited_for_when_busy(kernel, options) == 8);
}

TEST_CASE("a_limit_of_gathering_is_a_second_at_most_and_without_one_nothing_is_gathered") {
    watching kernel;
    const auto at_most = GENERATE(-1us, 0us, 2s);
    executor used(gathering_options({.completions = 2, .at_most = at_most}), kernel);
    used.run([](watching& sleeps, bool gathers) -> task<> {
        co_await sleep_once();
        co_await be_busy();
        co_await be_busy(); // two completions are there, none of which is waited for
        CHECK(sleeps.waited_for == (gathers ? 2 : 1));
        CHECK(sleeps.for_all == (gathers ? 1s : 0s));
    }(kernel, at_most > 0us));
    check_baseline(used);
}

// It would wait for ever for the second.
TEST_CASE("a_kernel_that_cannot_wait_for_several_is_asked_for_the_first", "[linux]") {
    watching kernel;
    kernel.knows_minimum = false;
    CHECK(waited_for_when_busy(kernel, gathering_options(several)) == 16);
}
