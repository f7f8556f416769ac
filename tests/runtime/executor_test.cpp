#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/try.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
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
    executor used(options_for(GENERATE(both_modes())));
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
    executor used;
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
    executor used;
    used.run([](executor& home) -> task<> {
        CHECK_THROWS_AS(home.run(empty_task()), std::logic_error);
        (void)co_await no_operation();
        CHECK_THROWS_AS(home.run(empty_task()), std::logic_error);
    }(used));
    check_baseline(used);
}

TEST_CASE("run_on_another_thread_than_the_first_is_refused") {
    executor used;
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

TEST_CASE("an_executor_made_on_one_thread_can_run_on_another") {
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
    executor outer;
    executor inner;
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
        executor unused(options_for(GENERATE(both_modes())));
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("an_executor_leaves_no_descriptor_behind") {
    const std::size_t before = open_descriptors();
    {
        executor used(options_for(GENERATE(both_modes())));
        used.run([]() -> task<> { (void)co_await sleep(std::chrono::microseconds(1)); }());
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("ready_coroutines_run_in_the_order_in_which_they_became_ready") {
    executor used;
    std::vector<std::string> order;
    used.run([](std::vector<std::string>& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (const char* name : {"a", "b", "c"}) {
                group.spawn([](std::vector<std::string>& log, std::string own) -> task<> {
                    for (int i = 0; i < 3; ++i) {
                        log.push_back(own + std::to_string(i));
                        co_await yield{};
                    }
                }(to, name));
            }
            co_return;
        });
    }(order));
    CHECK(order.size() == 9);
    // Each task's steps in order, and every step of one before the next step of any that started before it.
    auto position = [&](const char* step) { return std::ranges::find(order, step) - order.begin(); };
    CHECK(position("a0") < position("b0"));
    CHECK(position("b0") < position("c0"));
    CHECK(position("a1") < position("b1"));
    CHECK(position("b1") < position("c1"));
    CHECK(position("c1") < position("c2"));
    CHECK(position("a1") < position("a2"));
}

TEST_CASE("completions_make_their_coroutines_ready_in_the_order_of_the_cqes") {
    executor used(options_for(GENERATE(both_modes())));
    std::vector<int> order;
    used.run([](std::vector<int>& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 50; ++i) {
                group.spawn([](std::vector<int>& log, int number) -> task<> {
                    (void)co_await no_operation();
                    log.push_back(number);
                }(to, i));
            }
            co_return;
        });
    }(order));
    REQUIRE(order.size() == 50);
    CHECK(std::ranges::is_sorted(order));
}

TEST_CASE("operations_of_one_turn_share_one_enter") {
    executor used(options_for(GENERATE(both_modes())));
    used.run([](executor& home) -> task<> {
        (void)co_await no_operation();
        const statistics before = home.stats();
        co_await scope([](task_group& group) -> task<> {
            for (int i = 0; i < 100; ++i) group.spawn([]() -> task<> { (void)co_await no_operation(); }());
            co_return;
        });
        const statistics after = home.stats();
        // One SQE may be for being woken from outside.
        CHECK(after.sqes - before.sqes >= 100);
        CHECK(after.sqes - before.sqes <= 101);
        CHECK(after.cqes - before.cqes == 100);
        CHECK(after.enters - before.enters <= 8); // a hundred completions may be handed out in several passes
    }(used));
    check_baseline(used);
}

TEST_CASE("a_turn_enters_the_kernel_once") {
    struct counting final : forwarding_kernel {
        std::uint64_t enters = 0;
        int enable_ring(io_uring& ring) noexcept override {
            const int flags = forwarding_kernel::enable_ring(ring);
            trial_ = true;
            return flags;
        }
        int enter(
            io_uring& ring, unsigned to_submit, unsigned wait_for, const __kernel_timespec* timeout,
            unsigned flags) noexcept override {
            // The first one only finds out whether the call is allowed.
            if (!std::exchange(trial_, false)) ++enters;
            return forwarding_kernel::enter(ring, to_submit, wait_for, timeout, flags);
        }

      private:
        bool trial_ = false;
    } counted;
    executor used(options_for(GENERATE(both_modes())), counted);
    used.run([]() -> task<> {
        for (int i = 0; i < 1000; ++i) {
            (void)co_await no_operation();
            if (i % 10 == 0) (void)co_await sleep(duration::zero());
        }
    }());
    const statistics end = used.stats();
    CHECK(end.enters == counted.enters);
    CHECK(end.enters == end.turns);
    CHECK(end.turns <= 1200);
    CHECK(end.sqes == 1001); // one for being woken from outside
    CHECK(end.cqes == 1000);
    CHECK(end.submit_retries == 0);
}

TEST_CASE("a_task_that_is_always_ready_does_not_starve_operations") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.budget = GENERATE(1U, 16U, 256U);
    executor used(options);
    bool done = false;
    used.run([](bool& done_) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](bool& until) -> task<> {
                while (!until) co_await yield{};
            }(done_));
            group.spawn([](bool& until) -> task<> {
                while (!until) co_await yield{};
            }(done_));
            group.spawn([](bool& set) -> task<> {
                for (int i = 0; i < 10; ++i) (void)co_await no_operation();
                (void)co_await sleep(std::chrono::microseconds(100));
                set = true;
            }(done_));
            co_return;
        });
    }(done));
    CHECK(done);
}

TEST_CASE("a_post_that_posts_itself_for_ever_does_not_starve_operations_and_tasks") {
    executor used;
    struct endless final : posted_work {
        explicit endless(executor& given)
            : home(given) {}
        void run() noexcept override {
            ++runs;
            if (!stopped) home.post(*this);
        }
        executor& home;
        bool stopped = false;
        std::uint64_t runs = 0;
    } work(used);
    used.run([](executor& home, endless& posted) -> task<> {
        home.post(posted);
        for (int i = 0; i < 10; ++i) (void)co_await no_operation();
        co_await yield{};
        (void)co_await sleep(std::chrono::microseconds(100));
        CHECK(posted.runs > 10);
        posted.stopped = true;
        co_await next_turn{};
    }(used, work));
}

TEST_CASE("the_budget_bounds_the_coroutines_of_a_turn") {
    executor_options options;
    options.budget = 10;
    executor used(options);
    used.run([](executor& home) -> task<> {
        co_await next_turn{};
        co_await yield{}; // the second resumption of a turn, whose counters are written when it ends
        const statistics before = home.stats();
        for (int i = 0; i < 1000; ++i) co_await yield{};
        const statistics after = home.stats();
        CHECK(after.turns - before.turns == 100);
        CHECK(after.enters - before.enters == 100);
        CHECK(after.resumptions - before.resumptions == 1000);
    }(used));
}

TEST_CASE("more_operations_than_the_submission_queue_holds_are_all_done") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 8;
    options.ring.completion_entries = 16;
    executor used(options);
    int done = 0;
    used.run([](int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 1000; ++i) {
                group.spawn([](int& to) -> task<> {
                    const result<int> outcome = co_await no_operation();
                    if (outcome == 0) ++to;
                }(count));
            }
            co_return;
        });
    }(done));
    CHECK(done == 1000);
    check_baseline(used);
}

TEST_CASE("completions_that_overflow_the_queue_are_not_lost") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 4;
    options.ring.completion_entries = 4;
    executor used(options);
    std::vector<std::unique_ptr<pipe_ends>> pipes;
    for (int i = 0; i < 64; ++i) pipes.push_back(std::make_unique<pipe_ends>());
    int done = 0;
    used.run([](auto& pipes_, int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (auto& each : pipes_) {
                group.spawn([](const pipe_ends& from, int& to) -> task<> {
                    char byte = 0;
                    const result<int> read = co_await read_into(from.reading(), {&byte, 1});
                    if (read == 1 && byte == 'x') ++to;
                }(*each, count));
            }
            for (int i = 0; i < 20; ++i) co_await next_turn{};
            for (auto& each : pipes_) each->write("x"); // all of them complete at once
            co_return;
        });
    }(pipes, done));
    CHECK(done == 64);
    check_baseline(used);
}

TEST_CASE("an_enter_that_fails_for_a_while_loses_nothing") {
    struct failing final : forwarding_kernel {
        int error = 0;
        unsigned calls = 0;
        int enter(
            io_uring& ring, unsigned to_submit, unsigned wait_for, const __kernel_timespec* timeout,
            unsigned flags) noexcept override {
            if (++calls % 3 != 0) return -error;
            return forwarding_kernel::enter(ring, to_submit, wait_for, timeout, flags);
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
        int enter(
            io_uring& ring, unsigned to_submit, unsigned wait_for, const __kernel_timespec* timeout,
            unsigned flags) noexcept override {
            const unsigned taken = std::min(to_submit, 1U);
            // The rest might never complete if the executor slept now.
            return forwarding_kernel::enter(ring, taken, taken < to_submit ? 0 : wait_for, timeout, flags);
        }
    } kernel;
    executor used(options_for(GENERATE(both_modes())), kernel);
    std::vector<int> order;
    used.run([](std::vector<int>& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 20; ++i) {
                group.spawn([](std::vector<int>& log, int number) -> task<> {
                    (void)co_await no_operation();
                    log.push_back(number);
                }(to, i));
            }
            co_return;
        });
    }(order));
    CHECK(order.size() == 20);
    CHECK(std::ranges::is_sorted(order));
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
        int enter(
            io_uring& ring, unsigned to_submit, unsigned wait_for, const __kernel_timespec* timeout,
            unsigned flags) noexcept override {
            if (refused == call::enter) return -EPERM;
            return forwarding_kernel::enter(ring, to_submit, wait_for, timeout, flags);
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
        int enter(
            io_uring& ring, unsigned to_submit, unsigned wait_for, const __kernel_timespec* timeout,
            unsigned flags) noexcept override {
            return fails ? -EPERM : forwarding_kernel::enter(ring, to_submit, wait_for, timeout, flags);
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

TEST_CASE("run_waits_for_the_closes_that_its_task_left_behind") {
    executor used(options_for(GENERATE(both_modes())));
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

TEST_CASE("run_waits_for_the_closes_of_what_a_root_task_held_when_it_ended_at_a_try") {
    struct dropping {
        executor& home;
        int descriptor;
        ~dropping() { home.dispose({.number = descriptor}, {}); }
    };
    executor used(options_for(GENERATE(both_modes())));
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
    executor used(options);
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
