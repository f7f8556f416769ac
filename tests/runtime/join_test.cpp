// Who joins a group, and what becomes of a join that is cancelled.
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/sleep.hpp>

#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<> joins(task_group& group) {
    co_await group.join();
}

task<> counts_later(int& count, int turns) {
    for (int i = 0; i < turns; ++i) (void)co_await no_operation();
    ++count;
}

task<> throws_at_once(const char* text) {
    throw std::runtime_error(text);
    co_return;
}

// "joined", or what the join says of it.
task<> tries_to_join(task_group& group, std::string& outcome) {
    try {
        co_await group.join();
        outcome = "joined";
    } catch (const std::logic_error& error) {
        outcome = error.what();
    }
}

} // namespace

TEST_CASE("a_joined_group_can_be_used_again") {
    executor used({}, test_kernel());
    int ended = 0;
    used.run([](int& count) -> task<> {
        task_group group(co_await this_scope{});
        for (int round = 1; round <= 3; ++round) {
            group.spawn(counts_later(count, 1));
            co_await group.join();
            CHECK(count == round);
        }
        co_await group.join();
    }(ended));
}

TEST_CASE("an_exception_is_thrown_by_the_join_after_it_and_by_no_other") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group group(co_await this_scope{});
        group.spawn(throws_at_once("once"));
        bool thrown = false;
        try {
            co_await group.join();
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
        co_await group.join();
    }());
}

TEST_CASE("a_join_covers_children_that_were_spawned_while_it_waited") {
    executor_options options;
    options.budget = 1; // so that a post comes between the last child's end and the joiner's resumption
    executor used(options, test_kernel());
    used.run([](executor& home) -> task<> {
        task_group group(co_await this_scope{});
        int ended = 0;
        group.spawn([](executor& own, task_group& into, int& count) -> task<> {
            own.post([&] { into.spawn(counts_later(count, 5)); });
            co_return;
        }(home, group, ended));
        co_await group.join();
        CHECK(ended == 1);
        CHECK(group.size() == 0);
    }(used));
    check_baseline(used);
}

TEST_CASE("a_join_that_is_cancelled_cancels_the_group_and_ends_when_its_children_have") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group group(co_await this_scope{});
        bool stubborn_ended = false;
        std::error_code of_child;
        group.spawn([](std::error_code& error) -> task<> {
            const auto slept = co_await sleep(24h);
            if (!slept) error = slept.error();
        }(of_child));
        group.spawn([](bool& ended) -> task<> {
            (void)co_await shield(sleep(20ms));
            ended = true;
        }(stubborn_ended));
        auto joining = timeout(1ms, joins(group));
        const result<void> joined = co_await std::move(joining);
        CHECK(joined == failure(errc::timed_out));
        CHECK(of_child == errc::cancelled);
        CHECK(stubborn_ended);
        CHECK(group.size() == 0);
    }());
    check_baseline(used);
}

TEST_CASE("a_join_in_a_scope_that_is_cancelled_already_cancels_the_group_and_a_shielded_one_does_not") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group group(co_await this_scope{});
        std::error_code of_child;
        const auto sleeps = [](duration time, std::error_code& error) -> task<> {
            const auto slept = co_await sleep(time);
            error = slept ? std::error_code() : slept.error();
        };
        group.spawn(sleeps(1ms, of_child));
        co_await scope([&](task_group& inner) -> task<> {
            inner.spawn([](task_group& joined) -> task<> { co_await shield(joins(joined)); }(group));
            inner.cancel();
            co_return;
        });
        CHECK_FALSE(of_child);
        group.spawn(sleeps(24h, of_child));
        co_await scope([&](task_group& inner) -> task<> {
            inner.spawn(joins(group));
            inner.cancel();
            co_return;
        });
        CHECK(of_child == errc::cancelled);
    }());
    check_baseline(used);
}

TEST_CASE("several_tasks_may_join_a_group") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        int joined = 0;
        task_group joined_by_all(co_await this_scope{});
        int ended = 0;
        joined_by_all.spawn(counts_later(ended, 3));
        co_await scope([&](task_group& group) -> task<> {
            const auto join = [](task_group& of, int& count) -> task<> {
                co_await of.join();
                ++count;
            };
            for (int i = 0; i < 3; ++i) group.spawn(join(joined_by_all, joined));
            co_return;
        });
        CHECK(joined == 3);
        CHECK(ended == 1);
    }());
    check_baseline(used);
}

TEST_CASE("a_task_that_joins_the_group_that_it_belongs_to_is_refused") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const std::string refused = "a task joins the group that it belongs to";
        std::string of_child;
        std::string of_grandchild;
        std::string of_body;
        std::string of_sibling;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(tries_to_join(group, of_child));
            group.spawn([](task_group& joined, std::string& outcome) -> task<> {
                co_await scope([&](task_group& below) -> task<> {
                    below.spawn(tries_to_join(joined, outcome));
                    co_return;
                });
            }(group, of_grandchild));
            co_await tries_to_join(group, of_body);
        });
        CHECK(of_child == refused);
        CHECK(of_grandchild == refused);
        CHECK(of_body == "joined");

        co_await scope([&](task_group& group) -> task<> {
            task_group other(co_await this_scope{});
            other.spawn([]() -> task<> { (void)co_await sleep(1ms); }());
            group.spawn(tries_to_join(other, of_sibling));
            co_await other.join();
            co_await group.join();
        });
        CHECK(of_sibling == "joined");
    }());
    check_baseline(used);
}
