// The live tree of tasks, as executor::dump prints it.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/small_stack.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/async_generator.hpp>
#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/named.hpp>
#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/when.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

// Linux, whose clock stands still unless the test puts it forward.
class stopped_clock final : public forwarding_kernel {
  public:
    time_point at = forwarding_kernel::now();
    time_point now() noexcept override { return at; }
};

std::vector<std::string> dump_lines(executor& home) {
    std::ostringstream text;
    home.dump(text);
    std::vector<std::string> lines;
    std::istringstream read(text.str());
    for (std::string line; std::getline(read, line);) lines.push_back(line);
    return lines;
}

std::string at(unsigned line) {
    return " at " + std::string(std::source_location::current().file_name()) + ':' + std::to_string(line);
}

constexpr unsigned line_of_sleep = __LINE__ + 2;
task<> sleeps_in_a_function() {
    co_await sleep(1h);
}

constexpr unsigned line_of_call = __LINE__ + 2;
task<> calls() {
    co_await sleeps_in_a_function();
}

// What a dump shows of a child once it waits; then the child is cancelled.
std::vector<std::string> lines_of_child(executor& home, task<> child) {
    std::vector<std::string> lines;
    home.run([](executor& shown, task<> shown_child, std::vector<std::string>& dumped) -> task<> {
        task_group group(co_await this_scope{});
        group.spawn(std::move(shown_child));
        co_await yield();
        co_await yield();
        shown.post([&] {
            dumped = dump_lines(shown);
            group.cancel();
        });
        co_await group.join();
    }(home, std::move(child), lines));
    return lines;
}

} // namespace

TEST_CASE("a_dump_shows_what_each_task_waits_for_and_where_below_the_one_that_awaits_it") {
    stopped_clock clock;
    executor home({}, clock);
    std::vector<std::string> lines;
    home.run([](executor& shown, stopped_clock& time, std::vector<std::string>& dumped) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(calls());
            co_await yield();
            co_await yield();
            time.at += 2500ms;
            dumped = dump_lines(shown);
            group.cancel();
        });
    }(home, clock, lines));

    REQUIRE(lines.size() == 5);
    CHECK_THAT(lines[0], ContainsSubstring("dump_test.cpp:") && EndsWith(", in")); // the task of run
    CHECK_THAT(lines[1], StartsWith("  chainring::scope at ") && EndsWith(", in"));
    CHECK(lines[2] == "    a coroutine that runs or is about to"); // the scope's body, which dumps
    CHECK_THAT(lines[3], EndsWith("::calls" + at(line_of_call) + ", in"));
    CHECK_THAT(
        lines[4], StartsWith("      ") &&
                      EndsWith("::sleeps_in_a_function" + at(line_of_sleep) + ": sleep, for 2.5 s"));
}

TEST_CASE("a_dump_shows_names_and_the_nearest_deadline") {
    stopped_clock clock;
    executor home({}, clock);
    std::vector<std::string> lines;
    home.run([](executor& shown, stopped_clock& time, std::vector<std::string>& dumped) -> task<> {
        task_group group(co_await this_scope{});
        group.spawn([]() -> task<> { co_await timeout(10s, named("the slow one", calls())); }());
        co_await yield();
        co_await yield();
        group.spawn(calls());
        time.at += 4s;
        group.scope().home().post([&] {
            dumped = dump_lines(shown);
            group.cancel();
        });
        co_await group.join();
    }(home, clock, lines));

    REQUIRE(lines.size() == 7);
    CHECK_THAT(lines[0], EndsWith(": the end of 2 children, for 4.0 s"));
    CHECK_THAT(lines[1], StartsWith("  ") && EndsWith(", in"));
    CHECK_THAT(lines[2], StartsWith("    chainring::named at ") && EndsWith(", in \"the slow one\""));
    CHECK_THAT(lines[3], EndsWith("::calls" + at(line_of_call) + ", in"));
    CHECK_THAT(
        lines[4],
        EndsWith("::sleeps_in_a_function" + at(line_of_sleep) + ": sleep, for 4.0 s, deadline in 6.0 s"));
    CHECK_THAT(lines[5], StartsWith("  ") && EndsWith("::calls" + at(line_of_call) + ", in"));
    CHECK_THAT(lines[6], EndsWith(": sleep, for 4.0 s")); // the deadline is the other one's
}

TEST_CASE("a_dump_says_which_tasks_run_and_which_have_not_started") {
    executor home({}, test_kernel());
    std::vector<std::string> lines;
    home.run([](executor& shown, std::vector<std::string>& dumped) -> task<> {
        task_group group(co_await this_scope{});
        const auto dumps = [&]() -> task<> {
            dumped = dump_lines(shown);
            co_return;
        };
        group.spawn(dumps());
        group.spawn([]() -> task<> { co_return; }());
        co_await group.join();
    }(home, lines));
    REQUIRE(lines.size() == 3);
    CHECK_THAT(lines[0], EndsWith(": the end of 2 children, for 0.0 s"));
    CHECK(lines[1] == "  a coroutine that runs or is about to"); // this one dumps
    CHECK(lines[2] == "  a task that has not started");
}

TEST_CASE("a_name_stays_on_one_line_whatever_is_in_it") {
    executor home({}, test_kernel());
    const auto lines = lines_of_child(home, named("two\nlines, a \"quote\", a \\ and a \x1b", calls()));
    REQUIRE(lines.size() == 4);
    CHECK_THAT(lines[1], EndsWith(", in \"two\\nlines, a \\\"quote\\\", a \\\\ and a \\x1b\""));
}

TEST_CASE("a_dump_says_who_is_about_to_go_on") {
    executor home({}, test_kernel());
    std::vector<std::string> lines;
    home.run([](executor& shown, std::vector<std::string>& dumped) -> task<> {
        task_group group(co_await this_scope{});
        group.spawn(sleeps_in_a_function());
        co_await yield();
        co_await yield();
        shown.post([&] {
            group.cancel();
            dumped = dump_lines(shown);
        });
        co_await group.join();
    }(home, lines));
    REQUIRE(lines.size() == 2);
    CHECK_THAT(lines[1], EndsWith("::sleeps_in_a_function" + at(line_of_sleep) + ": about to go on"));
}

TEST_CASE("children_are_shown_once_though_the_body_of_their_scope_joins_them") {
    struct nested {
        static task<> open(int level) {
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(level > 1 ? open(level - 1) : calls());
                co_await group.join();
            });
        }
    };
    executor home({}, test_kernel());
    const std::vector<std::string> lines = lines_of_child(home, nested::open(10));
    const auto sleeping = [](const std::string& line) { return line.find(": sleep, ") != std::string::npos; };
    CHECK(std::ranges::count_if(lines, sleeping) == 1);
    const auto joining = [](const std::string& line) {
        return line.find(": the end of 1 children, ") != std::string::npos;
    };
    CHECK(std::ranges::count_if(lines, joining) == 11); // and that of the dumped task
}

TEST_CASE("who_waits_for_a_handle_for_other_threads_says_so") {
    executor home({}, test_kernel());
    const std::vector<std::string> lines = lines_of_child(home, []() -> task<> {
        task_group group(co_await this_scope{});
        std::optional<remote_spawner> handle = group.remote();
        co_await when_all(
            [](task_group& joined) -> task<> { co_await joined.join(); }(group),
            [](std::optional<remote_spawner>& kept) -> task<> {
                (void)co_await sleep(1h);
                kept.reset();
            }(handle));
    }());
    CHECK(std::ranges::count_if(lines, [](const std::string& line) {
              return line.find(": the last handle for other threads, ") != std::string::npos;
          }) == 1);
}

TEST_CASE("a_dump_of_an_executor_without_a_task_is_empty") {
    const executor home({}, test_kernel());
    std::ostringstream text;
    home.dump(text);
    CHECK(text.str().empty());
}

TEST_CASE("what_is_still_held_tells_of_each_task_that_waits") {
    stopped_clock clock;
    executor home({}, clock);
    std::vector<std::string> held;
    home.run([](executor& shown, std::vector<std::string>& told) -> task<> {
        task_group group(co_await this_scope{});
        group.spawn([]() -> task<> { co_await timeout(1min, sleeps_in_a_function()); }());
        co_await yield();
        co_await yield();
        told = shown.holdings_report();
        group.cancel();
        co_await group.join();
    }(home, held));
    REQUIRE(!held.empty());
    CHECK_THAT(
        held.back(),
        EndsWith("::sleeps_in_a_function" + at(line_of_sleep) + ": sleep, for 0.0 s, deadline in 60.0 s"));
}

TEST_CASE("names_of_functions_are_shortened_to_what_people_write") {
    CHECK(short_name("void session(session(int)::_Z7sessioni.Frame*)") == "session");
    CHECK(short_name("task session(int)") == "session");
    CHECK(short_name("chainring::task<> {anonymous}::calls()") == "{anonymous}::calls");
    CHECK(short_name("task<> (anonymous namespace)::calls()") == "(anonymous namespace)::calls");
    CHECK(short_name("task<int> box<int>::get(int) const [T = int]") == "box<int>::get");
    CHECK(short_name("auto main()::(anonymous class)::operator()(int) const") == "main()::(anonymous class)");
    CHECK(
        short_name(
            "void main()::<lambda(int)>::operator()(main()::<lambda(int)>::_ZZ4mainENKUliE_clEi.Frame*)") ==
        "main()::<lambda(int)>");
    CHECK(
        short_name("std::invoke_result_t<Body &, task_group &> chainring::scope(Body) [Body = (lambda at "
                   "a.cpp:3:5)]") == "chainring::scope");
    CHECK(
        short_name("void chainring::scope(chainring::scope<f()::<lambda(g&)> "
                   ">(f()::<lambda(g&)>)::_Z.Frame*) [with Body = int]") == "chainring::scope");
    CHECK(short_name("f(int)::<lambda(g&)>") == "f(int)::<lambda(g&)>");
    CHECK(short_name("").empty());
    CHECK(short_name("nothing") == "nothing");
}

namespace {

task<> recurses(int levels) {
    if (levels > 0)
        co_await recurses(levels - 1);
    else
        co_await sleep(1h);
}

} // namespace

TEST_CASE("of_a_recursion_a_hundred_thousand_deep_the_first_levels_are_printed_on_a_small_stack", "[linux]") {
    std::vector<std::string> lines;
    run_on_small_stack([&lines] {
        executor home({}, test_kernel());
        lines = lines_of_child(home, recurses(100'000));
    });
    REQUIRE(lines.size() == 101);
    CHECK_THAT(lines[99], ContainsSubstring("::recurses at "));
    CHECK_THAT(lines[100], EndsWith("what is deeper is left out"));
}

TEST_CASE("a_dump_shows_no_deadline_that_a_shield_keeps_out") {
    stopped_clock clock;
    executor home({}, clock);
    std::vector<std::string> lines;
    home.run([](executor& shown, stopped_clock& time, std::vector<std::string>& dumped) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([]() -> task<> { (void)co_await timeout(60s, shield(sleep(1h))); }());
            group.spawn([]() -> task<> { (void)co_await timeout(60s, shield(sleeps_in_a_function())); }());
            group.spawn([]() -> task<> { (void)co_await timeout(60s, shield(timeout(10s, sleep(1h)))); }());
            for (int i = 0; i < 5; ++i) co_await yield();
            dumped = dump_lines(shown);
            time.at += 2h; // a shielded sleep cannot be cancelled
        });
    }(home, clock, lines));
    const auto with_a_deadline = [](const std::string& line) { return line.contains("deadline"); };
    CHECK(std::ranges::count_if(lines, with_a_deadline) == 1);
    CHECK_THAT(lines.back(), EndsWith("sleep, for 0.0 s, deadline in 10.0 s"));
}
