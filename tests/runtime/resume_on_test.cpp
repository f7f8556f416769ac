#include "runtime/two_executors.hpp"

#include <chainring/runtime/cancellation.hpp>
#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/named.hpp>
#include <chainring/runtime/resume_on.hpp>
#include <chainring/runtime/try.hpp>
#include <chainring/runtime/when.hpp>

#include <sstream>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

// A local whose end tells where it was.
class notes_where_it_ends {
  public:
    explicit notes_where_it_ends(executor*& place)
        : place_(place) {}
    ~notes_where_it_ends() { place_ = executor::current(); }
    notes_where_it_ends(const notes_where_it_ends&) = delete;
    notes_where_it_ends& operator=(const notes_where_it_ends&) = delete;

  private:
    executor*& place_;
};

task<result<int>> goes_and_returns(executor& to, executor*& ran_on, executor*& ended_on) {
    co_await try_(resume_on(to));
    ran_on = executor::current();
    const notes_where_it_ends noted(ended_on);
    (void)co_await no_operation();
    co_await sleep(1ms);
    co_return 42;
}

task<result<int>> goes_and_fails(executor& to, executor*& ended_on) {
    co_await try_(resume_on(to));
    const notes_where_it_ends noted(ended_on);
    (void)co_await no_operation();
    co_await try_(result<void>(failure(errc::busy)));
    co_return 0;
}

task<> goes_and_throws(executor& to) {
    const result<void> gone = co_await resume_on(to);
    CHECK(gone.has_value());
    (void)co_await no_operation();
    throw std::runtime_error("user");
}

task<result<void>> goes_and_sleeps(executor& to, int& ended) {
    co_await try_(resume_on(to));
    const counts_its_end counting(ended);
    co_return co_await sleep(24h);
}

} // namespace

TEST_CASE("a_task_goes_on_on_another_executor_and_its_awaiter_where_it_was") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        executor* ran_on = nullptr;
        executor* ended_on = nullptr;
        const result<int> value = co_await goes_and_returns(of.there, ran_on, ended_on);
        CHECK(value == 42);
        CHECK(executor::current() == &of.here);
        CHECK(ran_on == &of.there);
        CHECK(ended_on == &of.there);
    }(both));
    both.check_baselines();
}

TEST_CASE("the_locals_of_a_task_that_ends_by_an_error_die_where_it_went") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        executor* ended_on = nullptr;
        const result<int> value = co_await goes_and_fails(of.there, ended_on);
        CHECK(value == failure(errc::busy));
        CHECK(ended_on == &of.there);
        CHECK(executor::current() == &of.here);
    }(both));
    both.check_baselines();
}

TEST_CASE("an_exception_of_a_task_that_has_gone_comes_home") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        bool caught = false;
        try {
            co_await goes_and_throws(of.there);
        } catch (const std::runtime_error&) {
            caught = executor::current() == &of.here;
        }
        CHECK(caught);
    }(both));
    both.check_baselines();
}

TEST_CASE("a_task_may_go_to_and_fro") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        const auto goes = [](two_executors& between) -> task<int> {
            int right = 0;
            for (int round = 0; round < 20; ++round) {
                executor& next = round % 2 == 0 ? between.there : between.here;
                const result<void> gone = co_await resume_on(next);
                if (gone && executor::current() == &next) ++right;
                if (round % 3 == 0) (void)co_await no_operation();
            }
            co_return right;
        };
        const int right = co_await goes(of);
        CHECK(right == 20);
        CHECK(executor::current() == &of.here);
    }(both));
    both.check_baselines();
}

TEST_CASE("a_task_that_is_there_already_goes_on_at_once") {
    executor used({}, test_kernel());
    used.run([](executor& own) -> task<> {
        const std::uint64_t before = own.stats().resumptions;
        const result<void> stayed = co_await resume_on(own);
        CHECK(stayed.has_value());
        CHECK(own.stats().resumptions == before);
    }(used));
    check_baseline(used);
}

TEST_CASE("whoever_owns_a_task_hears_of_its_end_where_it_was") {
    two_executors both;
    SECTION("the executor, of a root") {
        CHECK(both.run([](executor& to) -> task<int> {
            const result<void> gone = co_await resume_on(to);
            co_return gone&& executor::current() == &to ? 3 : 0;
        }(both.there)) == 3);
    }
    SECTION("a group") {
        both.run([](two_executors& of) -> task<> {
            int ran = 0;
            co_await scope([&](task_group& group) -> task<> {
                for (int number = 0; number < 5; ++number)
                    group.spawn([](two_executors& between, int& count) -> task<> {
                        const result<void> gone = co_await resume_on(between.there);
                        co_await sleep(1ms);
                        if (gone && executor::current() == &between.there) ++count;
                    }(of, ran));
                co_return;
            });
            CHECK(ran == 5);
            CHECK(executor::current() == &of.here);
        }(both));
    }
    SECTION("others that await it in their own way") {
        both.run([](two_executors& of) -> task<> {
            executor* ran_on = nullptr;
            executor* ended_on = nullptr;
            const result<int> called = co_await named("goer", goes_and_returns(of.there, ran_on, ended_on));
            CHECK(called == 42);
            auto limited = timeout(1h, goes_and_returns(of.there, ran_on, ended_on));
            const result<int> in_time = co_await std::move(limited);
            CHECK(in_time == 42);
            const int tried = [](const result<int>& value) { return value.value_or(0); }(in_time);
            CHECK(tried == 42);
            auto all = when_all(
                goes_and_returns(of.there, ran_on, ended_on), goes_and_returns(of.here, ran_on, ended_on));
            const auto outcomes = co_await std::move(all);
            CHECK(std::get<0>(outcomes) == 42);
            CHECK(std::get<1>(outcomes) == 42);
        }(both));
    }
    both.check_baselines();
}

TEST_CASE("a_cancellation_and_a_deadline_follow_a_task_that_has_gone") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        int ended = 0;
        auto limited = timeout(1ms, goes_and_sleeps(of.there, ended));
        const result<void> late = co_await std::move(limited);
        CHECK(late == failure(errc::timed_out));
        CHECK(ended == 1);
        task_group group(co_await this_scope{});
        result<void> outcome;
        group.spawn([](two_executors& between, int& count, result<void>& told) -> task<> {
            told = co_await goes_and_sleeps(between.there, count);
        }(of, ended, outcome));
        group.cancel();
        co_await group.join();
        CHECK(outcome == failure(errc::cancelled));
        CHECK(ended == 1); // it never left
    }(both));
    both.check_baselines();
}

TEST_CASE("a_task_that_has_gone_is_destroyed_with_its_awaiter") {
    two_executors both;
    const int turns = GENERATE(0, 1, 2, 8);
    int ended = 0;
    both.run([](two_executors& of, int wait, int& count) -> task<> {
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        group->spawn([](two_executors& between, int& counted) -> task<> {
            (void)co_await goes_and_sleeps(between.there, counted);
        }(of, count));
        for (int turn = 0; turn < wait; ++turn) co_await yield();
        if (wait == 8) co_await sleep(1ms);
        group.reset();
    }(both, turns, ended));
    if (turns == 8) CHECK(ended == 1);
    both.check_baselines();
}

TEST_CASE("the_body_of_a_scope_has_to_stay_with_its_children") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        bool refused = false;
        co_await scope([&](task_group&) -> task<> {
            try {
                (void)co_await resume_on(of.there);
            } catch (const std::logic_error& thrown) {
                refused = std::string_view(thrown.what()).contains("its children are here");
            }
        });
        CHECK(refused);
        CHECK(executor::current() == &of.here);
        co_await scope([&](task_group&) -> task<> { // what it awaits may go
            executor* ran_on = nullptr;
            executor* ended_on = nullptr;
            const result<int> value = co_await goes_and_returns(of.there, ran_on, ended_on);
            CHECK(value == 42);
        });
    }(both));
    both.check_baselines();
}

TEST_CASE("a_task_that_an_ending_executor_does_not_take_goes_on_where_it_began") {
    two_executors both;
    both.run([](two_executors& of) -> task<> {
        of.there.refuse_work();
        const auto goes = [](executor& to) -> task<result<void>> {
            const result<void> gone = co_await resume_on(to);
            co_return gone;
        };
        const result<void> gone = co_await goes(of.there);
        CHECK(gone == failure(errc::executor_ended));
    }(both));
    both.check_baselines();
}

TEST_CASE("an_executor_that_ends_tells_of_a_task_that_has_come_to_it") {
    two_executors both;
    int ended = 0;
    std::optional<ended_task<result<void>>> told;
    spawn(both.here, goes_and_sleeps(both.there, ended), [&](ended_task<result<void>> end) {
        told.emplace(std::move(end));
    });
    both.run_until([&] { return both.there.has_tasks() && !both.there.pump(); });
    both.second.reset();
    CHECK(ended == 1);
    both.run_until([&] { return told.has_value(); });
    CHECK(told->value() == failure(errc::executor_ended));
    both.check_baselines();
}

TEST_CASE("a_dump_shows_where_a_task_has_gone") {
    int ended = 0;
    two_executors both;
    std::ostringstream here;
    std::ostringstream there;
    spawn(both.here, goes_and_sleeps(both.there, ended), [](const ended_task<result<void>>&) {});
    both.run_until([&] { return both.there.has_tasks() && !both.there.pump(); });
    (void)both.here.pump();
    both.here.dump(here);
    both.there.dump(there);
    CHECK(here.str().contains("which has gone to another executor"));
    CHECK(there.str().contains("goes_and_sleeps"));
}
