#include "runtime/signal_handler.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/runtime.hpp>
#include <chainring/runtime/sleep.hpp>

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

// What is written to standard error while it lives.
class captured_stderr {
  public:
    captured_stderr()
        : before_(::fcntl(2, F_DUPFD_CLOEXEC, 3))
        , file_(::memfd_create("stderr", MFD_CLOEXEC)) {
        REQUIRE(before_ >= 0);
        REQUIRE(file_ >= 0);
        ::dup2(file_, 2);
    }
    ~captured_stderr() {
        ::dup2(before_, 2);
        ::close(before_);
        ::close(file_);
    }
    captured_stderr(const captured_stderr&) = delete;
    captured_stderr& operator=(const captured_stderr&) = delete;

    std::string text() const {
        char bytes[1024];
        const ssize_t size = ::pread(file_, bytes, sizeof bytes, 0);
        return {bytes, static_cast<std::size_t>(size < 0 ? 0 : size)};
    }

  private:
    int before_;
    int file_;
};

volatile sig_atomic_t own_handler_calls = 0;

void own_handler(int) {
    own_handler_calls = own_handler_calls + 1;
}

class own_handlers {
  public:
    own_handlers() {
        own_handler_calls = 0;
        struct sigaction action{};
        action.sa_handler = own_handler;
        ::sigaction(SIGTERM, &action, &terminate_);
        ::sigaction(SIGINT, &action, &interrupt_);
    }
    ~own_handlers() {
        ::sigaction(SIGTERM, &terminate_, nullptr);
        ::sigaction(SIGINT, &interrupt_, nullptr);
    }

  private:
    struct sigaction terminate_{};
    struct sigaction interrupt_{};
};

task<result<void>> fails(std::error_code error) {
    co_return failure(error);
}

} // namespace

TEST_CASE("the_exit_status_tells_how_the_task_ended", "[linux]") {
    const captured_stderr output;
    CHECK(runtime{}.run([]() -> task<> { co_return; }()) == 0);
    CHECK(runtime{}.run([]() -> task<int> { co_return 7; }()) == 7);
    CHECK(runtime{}.run([]() -> task<result<void>> { co_return {}; }()) == 0);
    CHECK(runtime{}.run([]() -> task<result<int>> { co_return 8; }()) == 8);
    CHECK(runtime{}.run([]() -> task<result<int>> { co_return failure(errc::cancelled); }()) == 0);
    CHECK(runtime{}.run(fails(errc::cancelled)) == 0);
    CHECK(output.text().empty());
}

TEST_CASE("an_error_is_one_line_on_standard_error_and_the_status_is_one", "[linux]") {
    const captured_stderr output;
    SECTION("an errno") {
        CHECK(runtime{}.run(fails(from_errno(EADDRINUSE))) == 1);
        CHECK(output.text() == "error: " + from_errno(EADDRINUSE).message() + "\n");
    }
    SECTION("a condition of the library") {
        CHECK(runtime{}.run([]() -> task<result<int>> { co_return failure(errc::path_too_long); }()) == 1);
        CHECK(output.text() == "error: a unix socket path has at most 107 bytes\n");
    }
}

TEST_CASE("an_exception_comes_out_of_the_runtime_and_the_handlers_are_restored", "[linux]") {
    const own_handlers before;
    CHECK_THROWS_AS(
        runtime{}.run([]() -> task<> {
            CHECK(handler_of(SIGTERM) != own_handler);
            throw std::runtime_error("user");
            co_return;
        }()),
        std::runtime_error);
    CHECK(handler_of(SIGTERM) == own_handler);
    CHECK(handler_of(SIGINT) == own_handler);
}

TEST_CASE("block_on_returns_what_the_task_returned", "[linux]") {
    runtime used;
    CHECK(used.block_on([]() -> task<std::string> { co_return "text"; }()) == "text");
    CHECK(used.block_on(fails(errc::broken)) == failure(errc::broken));
}

TEST_CASE("a_stop_signal_cancels_what_waits_and_restores_the_handlers", "[linux]") {
    const own_handlers before;
    const int signal = GENERATE(SIGTERM, SIGINT);
    runtime_options options;
    options.executor = options_for(GENERATE(both_modes()));
    options.shutdown.soft = {};
    pipe_ends pipe;
    runtime used(options);
    const int status = used.run([](int sent, pipe_ends& from) -> task<result<void>> {
        CHECK(handler_of(sent) != own_handler);
        co_return co_await scope([&](task_group& group) -> task<result<void>> {
            group.spawn([](pipe_ends& from_) -> task<> {
                char memory[4];
                const result<int> read = co_await read_into(from_.reading(), memory);
                CHECK(read == failure(errc::cancelled));
            }(from));
            co_await next_turn{};
            co_await next_turn{};
            ::raise(sent);
            const result<void> slept = co_await sleep(1h);
            CHECK(slept == failure(errc::cancelled));
            co_return slept;
        });
    }(signal, pipe));
    CHECK(status == 0);
    CHECK(handler_of(SIGTERM) == own_handler);
    CHECK(handler_of(SIGINT) == own_handler);
    check_baseline(used.home());
}

TEST_CASE(
    "a_duplicate_of_a_stop_signal_changes_nothing_and_a_second_one_is_for_the_handler_before", "[linux]") {
    const own_handlers before;
    const int signal = GENERATE(SIGTERM, SIGINT);
    runtime used;
    const int status = used.run([](int sent) -> task<> {
        const auto begun = std::chrono::steady_clock::now();
        const auto elapsed = [begun] { return std::chrono::steady_clock::now() - begun; };
        ::raise(sent);
        ::raise(sent);
        if (elapsed() < 100ms) CHECK(own_handler_calls == 0);
        // The executor never comes to the request: this task does not let it.
        while (own_handler_calls == 0 && elapsed() < 10s) ::raise(sent);
        CHECK(own_handler_calls == 1);
        CHECK(elapsed() > 100ms);
        CHECK(handler_of(sent) == own_handler);
        co_return;
    }(signal));
    CHECK(status == 0);
    CHECK(handler_of(SIGTERM) == own_handler);
    CHECK(handler_of(SIGINT) == own_handler);
}

TEST_CASE("a_stop_signal_wakes_a_sleeping_executor", "[linux]") {
    runtime_options options;
    options.shutdown.soft = {};
    runtime used(options);
    std::thread sender;
    const ::pid_t self = ::getpid();
    const int status = used.run([](std::thread& other, ::pid_t to) -> task<result<void>> {
        other = std::thread([to] { ::kill(to, SIGTERM); });
        co_return co_await sleep(1h);
    }(sender, self));
    sender.join();
    CHECK(status == 0);
}

TEST_CASE("a_task_that_has_not_ended_at_the_hard_deadline_is_given_up_and_the_status_is_one", "[linux]") {
    const captured_stderr output;
    runtime_options options;
    options.shutdown = {.soft = {}, .hard = 1ms};
    runtime used(options);
    const int status = used.run([]() -> task<> {
        ::raise(SIGTERM);
        (void)co_await shield(sleep(1h));
        FAIL("it was waited for");
    }());
    CHECK(status == 1);
    CHECK(output.text() == "error: tasks had not ended at the hard deadline of the shutdown\n");
    check_baseline(used.home());
}

TEST_CASE("the_handlers_stay_alone_if_the_user_wants_it_so", "[linux]") {
    const own_handlers before;
    runtime_options options;
    options.stop_on_signals = false;
    runtime{options}.run([]() -> task<> {
        CHECK(handler_of(SIGTERM) == own_handler);
        co_return;
    }());
}

TEST_CASE("a_stop_signal_that_was_ignored_stays_ignored", "[linux]") {
    const own_handlers before; // which it puts back
    const int ignored = GENERATE(SIGINT, SIGTERM);
    const int heeded = ignored == SIGINT ? SIGTERM : SIGINT;
    ::signal(ignored, SIG_IGN);
    runtime_options options;
    options.shutdown.soft = {};
    const int status = runtime{options}.run([](int first, int second) -> task<> {
        CHECK(handler_of(first) == SIG_IGN);
        CHECK(handler_of(second) != own_handler);
        ::raise(first);
        const result<void> slept = co_await sleep(duration::zero());
        CHECK(slept.has_value());
        ::raise(second);
        const result<void> cut = co_await sleep(1h);
        CHECK(cut == failure(errc::cancelled));
    }(ignored, heeded));
    CHECK(status == 0);
    CHECK(handler_of(ignored) == SIG_IGN);
    CHECK(handler_of(heeded) == own_handler);
    ::signal(heeded, SIG_IGN); // nothing left to heed
    CHECK(runtime{}.run([]() -> task<int> { co_return 3; }()) == 3);
}

TEST_CASE("a_second_runtime_that_wants_the_signals_at_the_same_time_is_refused", "[linux]") {
    runtime{}.run([]() -> task<> {
        CHECK_THROWS_AS(runtime{}.run([]() -> task<> { co_return; }()), std::logic_error);
        co_return;
    }());
    CHECK(runtime{}.run([]() -> task<int> { co_return 4; }()) == 4);
}

TEST_CASE("a_signal_that_arrives_when_the_task_has_ended_is_not_handled_twice", "[linux]") {
    const own_handlers before;
    runtime used;
    auto ends_at_once = []() -> task<> {
        ::raise(SIGTERM);
        co_return;
    };
    CHECK(used.run(ends_at_once()) == 0);
    CHECK(handler_of(SIGTERM) == own_handler);
    CHECK(used.run(ends_at_once()) == 0);
    CHECK(used.run([]() -> task<int> {
        co_await next_turn{};
        co_return 5;
    }()) == 5);
    CHECK(handler_of(SIGTERM) == own_handler);
}

// The kernel gives the locked memory of a ring back only a moment after its end.
TEST_CASE("runtimes_follow_one_another_under_the_usual_limit_of_locked_memory", "[linux]") {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        // The limit does not hold for root.
        constexpr unsigned nobody = 65534;
        if (::getuid() == 0 && (::setgid(nobody) != 0 || ::setuid(nobody) != 0)) ::_exit(2);
        const rlimit usual{8 << 20, 8 << 20};
        if (::setrlimit(RLIMIT_MEMLOCK, &usual) != 0) ::_exit(3);
        constexpr int many = 300;
        try {
            for (int made = 0; made < many; ++made) runtime().run([]() -> task<> { co_return; }());
        } catch (const std::system_error&) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
