// A kernel that refuses, fails for a while, or takes less than it is given.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;

TEST_CASE("an_enter_that_fails_for_a_while_loses_nothing") {
    struct failing final : forwarding_kernel {
        int error = 0;
        unsigned calls = 0;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            if (++calls % 3 != 0) return -error;
            return forwarding_kernel::enter(ring, to_submit, wait, flags);
        }
    } flaky;
    flaky.error = GENERATE(EAGAIN, EBUSY, EINTR);
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 8;
    executor used(options, flaky);
    int done = 0;
    used.run([](int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 50; ++i) {
                group.spawn([](int& to) -> task<> {
                    for (int round = 0; round < 3; ++round) {
                        const result<int> outcome = co_await no_operation();
                        if (outcome == 0) ++to;
                    }
                }(count));
            }
            co_return;
        });
    }(done));
    CHECK(done == 150);
    CHECK(used.stats().submit_retries > 0);
    check_baseline(used);
}

TEST_CASE("an_enter_that_takes_only_some_of_the_sqes_loses_nothing") {
    struct reluctant final : forwarding_kernel {
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            const unsigned taken = std::min(to_submit, 1U);
            // The rest might never complete if the executor slept now.
            return forwarding_kernel::enter(ring, taken, taken < to_submit ? enter_wait() : wait, flags);
        }
    } kernel;
    executor used(options_for(GENERATE(both_modes())), kernel);
    const std::vector<int> order = completion_order(used, 20);
    CHECK(order.size() == 20);
    CHECK(std::ranges::is_sorted(order));
    check_baseline(used);
}

TEST_CASE("an_enter_that_is_refused_as_the_task_ends_does_not_put_run_to_sleep_for_ever", "[linux]") {
    // Until the task has ended and once more, so that the read for wake-ups is left to be submitted.
    struct refusing final : forwarding_kernel {
        bool task_ended = false;
        bool refused_then = false;
        bool sleeps_for_ever = false;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            if (to_submit != 0 && !refused_then) {
                refused_then = task_ended;
                return -EAGAIN;
            }
            sleeps_for_ever |= wait.completions != 0 && wait.timeout == nullptr;
            return forwarding_kernel::enter(ring, to_submit, sleeps_for_ever ? enter_wait() : wait, flags);
        }
    } kernel;
    executor used(options_for(GENERATE(both_modes())), kernel);
    used.run([](bool& ended) -> task<> {
        co_await sleep(std::chrono::milliseconds(1));
        ended = true;
    }(kernel.task_ended));
    CHECK(kernel.refused_then);
    CHECK_FALSE(kernel.sleeps_for_ever);
    check_baseline(used);
}

// The last completions may be reaped in the middle of a turn, or the read of the inbox's event, which completes only when
// another thread posts, may be all that is left to submit.
TEST_CASE("an_executor_that_has_closed_everything_does_not_sleep") {
    struct watching final : forwarding_kernel {
        unsigned most_taken = 0;
        unsigned endless_sleeps = 0;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            const unsigned taken = std::min(to_submit, most_taken);
            enter_wait limited = taken < to_submit ? enter_wait() : wait;
            const bool endless = limited.completions != 0 && limited.timeout == nullptr;
            const __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
            if (endless) limited.timeout = &limit;
            const int returned = forwarding_kernel::enter(ring, taken, limited, flags);
            endless_sleeps += endless && io_uring_cq_ready(&ring) == 0 ? 1 : 0;
            return returned;
        }
    } kernel;
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = GENERATE(2U, 256U);
    kernel.most_taken = GENERATE(1U, 256U);
    executor used(options, kernel);
    used.run([]() -> task<> {
        const auto one = tcp_listener::bind({"127.0.0.1", 0});
        const auto other = tcp_listener::bind({"127.0.0.1", 0});
        CHECK(one.has_value());
        CHECK(other.has_value());
        co_return;
    }());
    CHECK(kernel.endless_sleeps == 0);
    check_baseline(used);
}

TEST_CASE("whichever_call_is_refused_the_exception_has_the_kernels_explanation") {
    enum class call { open, register_buffers, enable, enter };
    struct refusing final : forwarding_kernel {
        call refused = GENERATE(call::open, call::register_buffers, call::enable, call::enter);

        int open_ring(io_uring& ring, const ring_options& options) noexcept override {
            return refused == call::open ? -EPERM : forwarding_kernel::open_ring(ring, options);
        }
        int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept override {
            if (refused == call::register_buffers) return -EPERM;
            return forwarding_kernel::register_buffer_ring(ring, registration);
        }
        int enable_ring(io_uring& ring) noexcept override {
            return refused == call::enable ? -EPERM : forwarding_kernel::enable_ring(ring);
        }
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            if (refused == call::enter) return -EPERM;
            return forwarding_kernel::enter(ring, to_submit, wait, flags);
        }
        std::string explain_refusal(int error) override { return "explained " + std::to_string(error); }
    } kernel;
    const std::size_t before = open_descriptors();
    try {
        executor unused({}, kernel);
        unused.run([]() -> task<> { co_return; }());
        FAIL("ran");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::operation_not_permitted);
        CHECK(std::string_view(error.what()).find("explained 1") != std::string_view::npos);
    }
    CHECK(open_descriptors() == before);
}

// Going on would spin for ever, and ending would free memory that the kernel may still write to.
TEST_CASE("an_enter_that_fails_for_good_ends_the_process") {
    struct failing final : forwarding_kernel {
        bool fails = false;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            return fails ? -EPERM : forwarding_kernel::enter(ring, to_submit, wait, flags);
        }
    };
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL); // Catch2 has a handler of its own
        std::freopen("/dev/null", "w", stderr);
        failing kernel;
        executor used({}, kernel);
        used.run([](failing& refused) -> task<> {
            refused.fails = true;
            co_await sleep(std::chrono::hours(1));
        }(kernel));
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
}

TEST_CASE("an_executor_that_cannot_be_finished_frees_what_it_had") {
    struct refusing final : forwarding_kernel {
        int event = 0;
        int buffers = 0;
        int enabling = 0;
        int open_event() noexcept override { return event != 0 ? event : forwarding_kernel::open_event(); }
        int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept override {
            return buffers != 0 ? buffers : forwarding_kernel::register_buffer_ring(ring, registration);
        }
        int enable_ring(io_uring& ring) noexcept override {
            return enabling != 0 ? enabling : forwarding_kernel::enable_ring(ring);
        }
    } kernel;
    const std::size_t before = open_descriptors();
    SECTION("no eventfd") {
        kernel.event = -EMFILE;
        CHECK_THROWS_AS(executor({}, kernel), std::system_error);
    }
    SECTION("no buffer ring") {
        kernel.buffers = -ENOMEM;
        CHECK_THROWS_AS(executor({}, kernel), std::system_error);
    }
    SECTION("no enabling") {
        kernel.enabling = -EBADFD;
        bool ran = false;
        executor used({}, kernel);
        CHECK_THROWS_AS(
            used.run([](bool& flag) -> task<> {
                flag = true;
                co_return;
            }(ran)),
            std::system_error);
        CHECK_FALSE(ran);
    }
    CHECK(open_descriptors() == before);
}
