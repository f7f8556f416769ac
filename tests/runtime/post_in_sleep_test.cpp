// What a post does that ends an executor's sleep: it runs before the completions are reaped.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/graceful_shutdown.hpp>
#include <chainring/runtime/sleep.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>
#include <utility>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

// Another thread posts, once, while the executor sleeps.
class posting_kernel final : public forwarding_kernel {
  public:
    std::function<void()> post;

    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        if (wait.completions != 0 && post) std::thread(std::exchange(post, nullptr)).join();
        return forwarding_kernel::enter(ring, to_submit, wait, flags);
    }
};

} // namespace

TEST_CASE("a_post_that_ends_a_sleep_runs_before_its_completions_and_knows_the_time_after_it", "[linux]") {
    posting_kernel behind;
    executor used({}, behind);
    gate opened;
    time_point posted;
    time_point then;
    std::uint64_t woken = 99;
    behind.post = [&] {
        posted = behind.now();
        used.post([&] {
            then = used.now();
            woken = used.stats().wakeups;
            opened.open();
        });
    };
    used.run([](gate& until) -> task<> { co_await until; }(opened));
    CHECK(then >= posted);
    CHECK(woken == 0);
    CHECK(used.stats().wakeups == 1);
    check_baseline(used);
}

TEST_CASE(
    "what_a_post_that_ends_a_sleep_submits_keeps_no_memory_of_what_was_submitted_before_it", "[linux]") {
    struct : completion {
        void complete(const io_uring_cqe&) noexcept override { completed = true; }
        bool completed = false;
    } posted;
    posting_kernel behind;
    executor used({}, behind);
    behind.post = [&] {
        used.post([&] { used.submit(posted, [](io_uring_sqe& sqe) { io_uring_prep_nop(&sqe); }); });
    };
    used.run([](executor& home) -> task<> {
        const void* const first = home.until_submitted().take<std::byte>(1).data();
        (void)co_await no_operation();
        const void* const second = home.until_submitted().take<std::byte>(1).data();
        CHECK(second == first);
        (void)co_await no_operation();
    }(used));
    CHECK(posted.completed);
    check_baseline(used);
}

TEST_CASE("a_task_that_a_post_cancels_in_a_sleep_ends_by_itself_though_its_time_is_up", "[linux]") {
    posting_kernel behind;
    executor used({}, behind);
    graceful_shutdown ending(used, {.soft = {}, .hard = {}});
    behind.post = [&] { used.post([&] { ending.begin(); }); };
    CHECK_NOTHROW(used.run([]() -> task<> {
        const result<void> slept = co_await sleep(1h);
        CHECK(slept == failure(errc::cancelled));
    }()));
    CHECK(ending.reached() == graceful_shutdown::stage::overdue);
    check_baseline(used);
}

TEST_CASE("a_child_that_is_forked_by_a_post_in_a_sleep_leaves_the_completions_to_the_parent", "[linux]") {
    posting_kernel behind;
    executor used({}, behind);
    int status = 0;
    behind.post = [&] {
        used.post([&] {
            const ::pid_t forked = ::fork();
            if (forked == 0) {
                ::signal(SIGABRT, SIG_DFL); // the test's handler would tell of a failure
                ::close(STDERR_FILENO);
                return;
            }
            ::waitpid(forked, &status, 0);
        });
    };
    used.run([]() -> task<> { (void)co_await no_operation(); }());
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    check_baseline(used);
}
