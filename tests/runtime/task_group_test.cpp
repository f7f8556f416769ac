#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/sleep.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<> counts(int& count, int turns = 0) {
    for (int i = 0; i < turns; ++i) (void)co_await no_operation();
    ++count;
}

task<> counts_its_cancellation(int& count) {
    const result<void> slept = co_await sleep(1h);
    if (slept == failure(errc::cancelled)) ++count;
}

task<> throws(const char* text, int turns = 0) {
    for (int i = 0; i < turns; ++i) (void)co_await no_operation();
    throw std::runtime_error(text);
}

template <class Work> std::string message_of(Work work) {
    try {
        work();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "no exception";
}

} // namespace

TEST_CASE("a_scope_ends_when_every_child_has_ended") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    int ended = 0;
    used.run([](int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int turns = 0; turns < 10; ++turns) group.spawn(counts(count, turns));
            CHECK(count == 0);
            CHECK(group.size() == 10);
            co_return;
        });
        CHECK(count == 10);
    }(ended));
    CHECK(ended == 10);
    check_baseline(used);
}

TEST_CASE("a_scope_without_children_ends_with_its_body") {
    executor used({}, test_kernel());
    const int value = used.run(
        []() -> task<int> { co_return co_await scope([](task_group&) -> task<int> { co_return 5; }); }());
    CHECK(value == 5);
    check_baseline(used);
}

TEST_CASE("a_child_starts_when_its_spawner_next_suspends") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group group(co_await this_scope{});
        int started = 0;
        group.spawn(counts(started));
        CHECK(started == 0);
        co_await yield();
        CHECK(started == 1);
        CHECK(group.size() == 0);
    }());
}

TEST_CASE("children_start_in_the_order_in_which_they_were_spawned") {
    executor used({}, test_kernel());
    std::vector<int> order;
    used.run([](std::vector<int>& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 100; ++i) {
                group.spawn([](std::vector<int>& log, int number) -> task<> {
                    log.push_back(number);
                    co_return;
                }(to, i));
            }
            co_return;
        });
    }(order));
    CHECK(order.size() == 100);
    CHECK(std::ranges::is_sorted(order));
}

TEST_CASE("ten_thousand_children_run_and_are_joined") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    int ended = 0;
    used.run([](int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 10'000; ++i) group.spawn(counts(count, i % 3));
            co_return;
        });
    }(ended));
    CHECK(ended == 10'000);
    check_baseline(used);
}

TEST_CASE("children_may_spawn_children") {
    struct tree {
        static task<> grow(task_group& group, int levels, int& count) {
            ++count;
            if (levels == 0) co_return;
            for (int i = 0; i < 3; ++i) group.spawn(grow(group, levels - 1, count));
            (void)co_await no_operation();
        }
    };
    executor used({}, test_kernel());
    int count = 0;
    used.run([](int& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(tree::grow(group, 6, to));
            co_return;
        });
    }(count));
    CHECK(count == 1 + 3 + 9 + 27 + 81 + 243 + 729);
    check_baseline(used);
}

TEST_CASE("a_body_that_throws_cancels_the_children_and_waits_for_them") {
    executor used({}, test_kernel());
    int cancelled = 0;
    const std::string message = message_of([&] {
        used.run([](int& count) -> task<> {
            co_await scope([&](task_group& group) -> task<> {
                for (int i = 0; i < 5; ++i) group.spawn(counts_its_cancellation(count));
                co_await yield();
                throw std::runtime_error("body");
            });
        }(cancelled));
    });
    CHECK(message == "body");
    CHECK(cancelled == 5);
    check_baseline(used);
}

TEST_CASE("a_child_that_throws_cancels_its_siblings_and_the_body_and_the_scope_throws") {
    executor used({}, test_kernel());
    int cancelled = 0;
    const int turns = GENERATE(0, 1, 3);
    const std::string message = message_of([&] {
        used.run([](int& count, int turns_) -> task<> {
            co_await scope([&](task_group& group) -> task<> {
                for (int i = 0; i < 5; ++i) group.spawn(counts_its_cancellation(count));
                group.spawn(throws("child", turns_));
                const result<void> slept = co_await sleep(1h);
                CHECK(slept == failure(errc::cancelled));
            });
        }(cancelled, turns));
    });
    CHECK(message == "child");
    CHECK(cancelled == 5);
    check_baseline(used);
}

TEST_CASE("a_body_that_cancels_its_group_goes_on_itself") {
    executor used({}, test_kernel());
    int cancelled = 0;
    used.run([](int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(counts_its_cancellation(count));
            co_await yield();
            group.cancel();
            const result<int> done = co_await no_operation();
            CHECK(done == 0);
        });
    }(cancelled));
    CHECK(cancelled == 1);
    check_baseline(used);
}

TEST_CASE("the_first_of_several_exceptions_comes_out_of_the_scope") {
    executor used({}, test_kernel());
    SECTION("of two children") {
        CHECK(message_of([&] {
                  used.run([]() -> task<> {
                      co_await scope([](task_group& group) -> task<> {
                          group.spawn(throws("second", 3));
                          group.spawn(throws("first", 1));
                          co_return;
                      });
                  }());
              }) == "first");
    }
    SECTION("of a body and then a child") {
        CHECK(message_of([&] {
                  used.run([]() -> task<> {
                      co_await scope([](task_group& group) -> task<> {
                          group.spawn(throws("second", 3));
                          co_await yield();
                          throw std::runtime_error("first");
                      });
                  }());
              }) == "first");
    }
    SECTION("of a child and then a body") {
        CHECK(message_of([&] {
                  used.run([]() -> task<> {
                      co_await scope([](task_group& group) -> task<> {
                          group.spawn(throws("first"));
                          (void)co_await no_operation();
                          throw std::runtime_error("second");
                      });
                  }());
              }) == "first");
    }
    check_baseline(used);
}

TEST_CASE("a_body_that_returns_an_error_cancels_the_children_and_the_error_is_the_scopes") {
    executor used({}, test_kernel());
    int cancelled = 0;
    const result<int> outcome = used.run([](int& count) -> task<result<int>> {
        co_return co_await scope([&](task_group& group) -> task<result<int>> {
            for (int i = 0; i < 5; ++i) group.spawn(counts_its_cancellation(count));
            co_await yield();
            co_await try_(result<int>(failure(errc::closed)));
            co_return 1;
        });
    }(cancelled));
    CHECK(outcome == failure(errc::closed));
    CHECK(cancelled == 5);
    check_baseline(used);
}

TEST_CASE("a_body_that_returns_a_value_lets_its_children_finish") {
    executor used({}, test_kernel());
    int ended = 0;
    const result<std::string> outcome = used.run([](int& count) -> task<result<std::string>> {
        co_return co_await scope([&](task_group& group) -> task<result<std::string>> {
            for (int i = 0; i < 5; ++i) group.spawn(counts(count, 3));
            co_return "value";
        });
    }(ended));
    CHECK(outcome == "value");
    CHECK(ended == 5);
}

// The body has a name because GCC 12 destroys a closure that is a temporary of a co_await expression twice,
// which only shows when it owns something.
TEST_CASE("the_body_lives_in_the_scope_until_it_ends") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        auto body = [own = std::make_unique<std::string>("captured")](task_group& group) -> task<> {
            group.spawn([](const std::string& text) -> task<> {
                (void)co_await no_operation();
                (void)co_await no_operation();
                CHECK(text == "captured");
            }(*own));
            co_return;
        };
        co_await scope(std::move(body));
    }());
    check_baseline(used);
}

TEST_CASE("scopes_nest_ten_deep_and_end_from_the_inside_out") {
    struct nested {
        static task<> open(int level, std::vector<int>& ends) {
            if (level == 10) co_return;
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(open(level + 1, ends));
                (void)co_await no_operation();
            });
            ends.push_back(level);
        }
    };
    executor used({}, test_kernel());
    std::vector<int> ends;
    used.run(nested::open(0, ends));
    CHECK(ends == std::vector<int>{9, 8, 7, 6, 5, 4, 3, 2, 1, 0});
    check_baseline(used);
}

TEST_CASE("an_exception_ten_scopes_down_ends_all_of_them") {
    struct nested {
        static task<> open(int level, int& cancelled) {
            if (level == 10) throw std::runtime_error("innermost");
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(counts_its_cancellation(cancelled));
                group.spawn(open(level + 1, cancelled));
                co_return;
            });
        }
    };
    executor used({}, test_kernel());
    int cancelled = 0;
    CHECK(message_of([&] { used.run(nested::open(0, cancelled)); }) == "innermost");
    CHECK(cancelled == 10);
    check_baseline(used);
}

TEST_CASE("destroying_a_suspended_scope_destroys_its_children_where_they_stand") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    int destroyed = 0;
    int resumed = 0;
    struct nested {
        static task<> read(pipe_ends& from, int& ends, int& resumptions) {
            counts_its_end local(ends);
            char memory[8];
            (void)co_await read_into(from.reading(), memory);
            ++resumptions;
        }
        static task<> open(int level, pipe_ends& from, int& ends, int& resumptions) {
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(read(from, ends, resumptions));
                if (level > 0) group.spawn(open(level - 1, from, ends, resumptions));
                co_return;
            });
            ++resumptions;
        }
    };
    used.run([](pipe_ends& from, int& ends, int& resumptions) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn(nested::open(9, from, ends, resumptions));
        for (int i = 0; i < 30; ++i) co_await yield();
        co_await next_turn{};
        CHECK(ends == 0);
        group.reset();
        CHECK(ends == 10);
        co_await next_turn{};
    }(pipe, destroyed, resumed));
    CHECK(destroyed == 10);
    CHECK(resumed == 0);
    check_baseline(used);
}

TEST_CASE("children_that_are_spawned_by_destructors_of_destroyed_ones_are_destroyed_as_well") {
    executor used({}, test_kernel());
    int destroyed = 0;
    used.run([](int& ends) -> task<> {
        struct cleans_up {
            task_group& group;
            int& ends;
            ~cleans_up() {
                group.spawn([](int& count) -> task<> {
                    counts_its_end local(count);
                    co_return;
                }(ends));
                ++ends;
            }
        };
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn([](task_group& into, int& count) -> task<> {
            const cleans_up local{into, count};
            (void)co_await sleep(1h);
        }(*group, ends));
        co_await yield();
        co_await yield();
        group.reset();
    }(destroyed));
    CHECK(destroyed == 1); // what has not started has no locals yet
    check_baseline(used);  // and no frame is left
}

TEST_CASE("destroying_a_group_frees_children_that_have_not_started") {
    executor used({}, test_kernel());
    int ran = 0;
    auto argument = std::make_shared<int>(1);
    used.run([](std::shared_ptr<int>& held, int& count) -> task<> {
        {
            task_group group(co_await this_scope{});
            for (int i = 0; i < 10; ++i) {
                group.spawn([](std::shared_ptr<int>, int& to) -> task<> {
                    ++to;
                    co_return;
                }(held, count));
            }
            CHECK(held.use_count() == 11);
        }
        CHECK(held.use_count() == 1);
        co_await yield();
    }(argument, ran));
    CHECK(ran == 0);
    check_baseline(used);
}

TEST_CASE("who_waits_for_a_place_in_a_group_that_is_destroyed_is_told") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        result<void> outcome;
        int ran = 0;
        co_await scope([&](task_group& group) -> task<> {
            auto full = std::make_unique<task_group>(co_await this_scope{}, group_options{.max_children = 1});
            full->spawn([]() -> task<> { (void)co_await sleep(1h); }());
            const auto wait = [](task_group& of, int& count, result<void>& told) -> task<> {
                told = co_await of.spawn_bounded(counts(count));
            };
            group.spawn(wait(*full, ran, outcome));
            co_await yield();
            co_await yield();
            full.reset();
            group.cancel(); // it has its outcome by then
        });
        CHECK(outcome == failure(errc::cancelled));
        CHECK(ran == 0);
    }());
    check_baseline(used);
}
