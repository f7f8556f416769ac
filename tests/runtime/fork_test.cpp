// fork in a process with executors.
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/offload.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>
#include <string_view>

using namespace chainring;
using namespace chainring::test;

namespace {

runtime_options two_threads() {
    runtime_options options;
    options.threads = 2;
    return options;
}

// What a forked child does with what its parent has made: its exit status, or the signal that ended it.
template <class Child> int status_of_child(Child child) {
    const ::pid_t forked = ::fork();
    REQUIRE(forked >= 0);
    if (forked == 0) {
        ::signal(SIGABRT, SIG_DFL); // the test's handler would tell of a failure
        ::close(STDERR_FILENO);
        ::_exit(child());
    }
    int status = 0;
    REQUIRE(::waitpid(forked, &status, 0) == forked);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

template <class Call> bool refused_for_the_fork(Call call) {
    try {
        call();
    } catch (const std::logic_error& thrown) {
        return std::string_view(thrown.what()).contains("this process was forked");
    }
    return false;
}

} // namespace

TEST_CASE("a_forked_child_destroys_an_executor_of_its_parent_and_keeps_its_own", "[linux]") {
    const auto one_turn = []() -> task<> { co_await yield(); };
    std::optional<executor> made(std::in_place);
    made->run(one_turn());
    CHECK(status_of_child([&] {
              executor own;
              own.run(one_turn());
              made.reset();
              const std::uint64_t resumptions = own.stats().resumptions;
              own.run(one_turn());
              return own.stats().resumptions > resumptions ? 0 : 1;
          }) == 0);
    const std::uint64_t resumptions = made->stats().resumptions;
    made->run(one_turn());
    CHECK(made->stats().resumptions > resumptions);
}

TEST_CASE("a_forked_child_is_told_that_the_executors_are_its_parents", "[linux]") {
    std::optional<runtime> used(std::in_place, two_threads());
    executor& other = used->at(1);
    SECTION("who runs a task is told by an exception") {
        CHECK(status_of_child([&] {
                  return refused_for_the_fork([&] { used->run([]() -> task<> { co_return; }()); }) &&
                                 refused_for_the_fork([&] { used->home().pump(); })
                             ? 0
                             : 1;
              }) == 0);
    }
    SECTION("a post ends the child") {
        CHECK(status_of_child([&] {
                  other.post([] {});
                  return 0;
              }) == -SIGABRT);
    }
    SECTION("so does the turn in which a task has forked") {
        int status = 0;
        used->run([](int& told) -> task<> {
            const ::pid_t forked = ::fork();
            if (forked == 0) {
                ::signal(SIGABRT, SIG_DFL);
                ::close(STDERR_FILENO);
                (void)co_await no_operation();
                ::_exit(0);
            }
            ::waitpid(forked, &told, 0);
        }(status));
        CHECK(WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == SIGABRT);
    }
    SECTION("destructors leave the parent's alone") {
        std::optional<blocking_pool> parents(std::in_place);
        CHECK(used->run([](blocking_pool& there) -> task<int> {
            const result<int> done = co_await offload(there, [] { return 7; });
            co_return done.value_or(0);
        }(*parents)) == 7);
        CHECK(status_of_child([&] {
                  parents.reset(); // its thread is not there to be joined
                  used.reset();
                  return 0;
              }) == 0);
    }
    SECTION("the child may have executors of its own") {
        CHECK(status_of_child([] {
                  return runtime(two_threads()).run([]() -> task<result<void>> {
                      co_return co_await for_each_executor([]() -> task<> { co_return; });
                  }());
              }) == 0);
    }
    SECTION("and does blocking work on threads of its own") {
        const auto work_elsewhere = []() -> task<int> {
            const result<int> done = co_await offload([] { return 7; });
            co_return done.value_or(0);
        };
        CHECK(used->run(work_elsewhere()) == 7);
        CHECK(
            status_of_child([&] { return runtime(two_threads()).run(work_elsewhere()) == 7 ? 0 : 1; }) == 0);
    }
    SECTION("work for a pool of the parent's ends the child") {
        blocking_pool parents;
        CHECK(status_of_child([&] {
                  return runtime(two_threads()).run([](blocking_pool& there) -> task<int> {
                      const result<void> done = co_await offload(there, [] {});
                      co_return done ? 0 : 1;
                  }(parents));
              }) == -SIGABRT);
    }
    // And the parent's are as they were.
    CHECK(used->run([](executor& there) -> task<int> {
        auto asking = call_on(there, [] { return 7; });
        const result<int> answer = co_await std::move(asking);
        co_return answer.value_or(0);
    }(other)) == 7);
}
