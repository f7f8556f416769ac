// What children return, how many of them run, and children that other threads spawn.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<result<int>> answers_after(duration time, int value) {
    co_await try_(sleep(time));
    co_return value;
}

task<std::unique_ptr<std::string>> makes_text(std::string text) {
    co_await yield();
    co_return std::make_unique<std::string>(std::move(text));
}

struct load {
    std::size_t running = 0;
    std::size_t most = 0;
    std::size_t ended = 0;

    task<> child() {
        most = std::max(most, ++running);
        co_await yield();
        co_await yield();
        --running;
        ++ended;
    }
};

} // namespace

TEST_CASE("a_child_hands_its_value_to_whoever_holds_its_handle") {
    virtual_clock clock;
    executor used(options_for(GENERATE(both_modes())), clock);
    used.run([]() -> task<> {
        co_await scope([](task_group& group) -> task<> {
            child<result<int>> number = group.start(answers_after(1s, 7));
            child<std::unique_ptr<std::string>> text = group.start(makes_text("text"));
            child<void> nothing = group.start([]() -> task<> { co_await yield(); }());
            CHECK_FALSE(number.ended());
            const result<std::unique_ptr<std::string>> made = co_await text.outcome();
            REQUIRE(made.has_value());
            CHECK(**made == "text");
            const result<int> answer = co_await number.outcome();
            CHECK(answer == 7);
            CHECK(number.ended());
            const result<void> ended = co_await nothing.outcome(); // it ended long ago
            CHECK(ended.has_value());
        });
    }());
    check_baseline(used);
}

TEST_CASE("a_child_whose_handle_is_dropped_is_joined_all_the_same") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([](virtual_clock& time) -> task<> {
        const time_point begin = time.now();
        std::optional<child<result<int>>> outliving;
        co_await scope([&](task_group& group) -> task<> {
            (void)group.start(answers_after(5s, 1));
            outliving.emplace(group.start(answers_after(1s, 7)));
            co_return;
        });
        CHECK(time.now() - begin >= 5s);
        const result<int> answer = co_await outliving->outcome();
        CHECK(answer == 7);
    }(clock));
    check_baseline(used);
}

TEST_CASE("the_error_of_a_child_with_a_handle_is_for_the_handle_alone") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const result<void> outcome = co_await scope([](task_group& group) -> task<result<void>> {
            child<result<int>> failing = group.start([]() -> task<result<int>> {
                co_await yield();
                co_return failure(errc::broken);
            }());
            const result<int> ended = co_await failing.outcome();
            CHECK(ended == failure(errc::broken));
            co_return {};
        });
        CHECK(outcome.has_value());
    }());
    check_baseline(used);
}

TEST_CASE("the_exception_of_a_child_with_a_handle_is_the_groups") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        bool thrown = false;
        result<int> seen = 0;
        try {
            co_await scope([&](task_group& group) -> task<> {
                child<int> throwing = group.start([]() -> task<int> {
                    co_await yield();
                    throw std::runtime_error("child");
                }());
                seen = co_await throwing.outcome();
            });
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
        CHECK(seen == failure(errc::cancelled));
    }());
    check_baseline(used);
}

TEST_CASE("a_wait_for_a_child_can_be_cancelled_and_repeated_and_is_one_at_a_time") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        co_await scope([](task_group& group) -> task<> {
            child<result<int>> slow = group.start(answers_after(10s, 7));
            const result<int> early = co_await timeout(1s, slow.outcome());
            CHECK(early == failure(errc::timed_out));
            result<int> other = 0;
            group.spawn([](child<result<int>>& of, result<int>& outcome) -> task<> {
                outcome = co_await of.outcome();
            }(slow, other));
            co_await yield();
            const result<int> second = co_await slow.outcome();
            CHECK(second == failure(errc::busy));
            co_await group.join();
            CHECK(other == 7);
        });
    }());
    check_baseline(used);
}

TEST_CASE("the_value_of_a_child_is_handed_out_once") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group group(co_await this_scope{});
        child<std::unique_ptr<std::string>> text = group.start(makes_text("text"));
        child<void> nothing = group.start([]() -> task<> { co_await yield(); }());
        const result<std::unique_ptr<std::string>> first = co_await text.outcome();
        REQUIRE(first.has_value());
        CHECK(**first == "text");
        const result<std::unique_ptr<std::string>> again = co_await text.outcome();
        CHECK(again == failure(errc::value_taken));
        const result<void> ended = co_await nothing.outcome();
        CHECK(ended.has_value());
        const result<void> ended_again = co_await nothing.outcome();
        CHECK(ended_again == failure(errc::value_taken));
        co_await group.join();
    }());
    check_baseline(used);
}

TEST_CASE("a_limit_on_children_makes_spawning_wait_for_a_place") {
    executor used({}, test_kernel());
    const std::size_t limit = GENERATE(1U, 3U, 100U);
    used.run([](std::size_t most) -> task<> {
        load counted;
        std::size_t largest = 0;
        const group_options options{.max_children = most};
        co_await scope(options, [&](task_group& group) -> task<> {
            for (int count = 0; count < 50; ++count) {
                const result<void> spawned = co_await group.spawn_bounded(counted.child());
                CHECK(spawned.has_value());
                largest = std::max(largest, group.size());
            }
        });
        CHECK(counted.ended == 50);
        CHECK(counted.most <= most);
        CHECK(largest == std::min<std::size_t>(most, 50));
    }(limit));
    check_baseline(used);
}

TEST_CASE("those_who_wait_for_a_place_get_it_in_their_order") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        std::vector<int> order;
        co_await scope(group_options{.max_children = 1}, [&](task_group& group) -> task<> {
            co_await scope([&](task_group& spawners) -> task<> {
                for (int number = 0; number < 10; ++number) {
                    spawners.spawn([](task_group& into, std::vector<int>& log, int own) -> task<> {
                        const result<void> spawned =
                            co_await into.spawn_bounded([](std::vector<int>& log_, int own_) -> task<> {
                                co_await yield();
                                log_.push_back(own_);
                            }(log, own));
                        CHECK(spawned.has_value());
                    }(group, order, number));
                }
                co_return;
            });
        });
        CHECK(order.size() == 10);
        CHECK(std::ranges::is_sorted(order));
    }());
    check_baseline(used);
}

TEST_CASE("a_cancelled_wait_for_a_place_spawns_nothing") {
    virtual_clock clock;
    executor used({}, clock);
    used.run([]() -> task<> {
        bool ran = false;
        co_await scope(group_options{.max_children = 1}, [&](task_group& group) -> task<> {
            group.spawn([]() -> task<> { (void)co_await sleep(10s); }());
            const result<void> spawned = co_await timeout(1s, group.spawn_bounded([](bool& flag) -> task<> {
                flag = true;
                co_return;
            }(ran)));
            CHECK(spawned == failure(errc::timed_out));
        });
        CHECK_FALSE(ran);
    }());
    check_baseline(used);
}

TEST_CASE("other_threads_spawn_children_and_the_scope_waits_for_them", "[linux]") {
    constexpr int threads = 4;
    constexpr int each = 500;
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    std::vector<std::thread> spawners;
    int ran = 0;
    used.run([](auto& started, int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int thread = 0; thread < threads; ++thread) {
                started.emplace_back([remote = group.remote(), &count] {
                    for (int spawned = 0; spawned < each; ++spawned) {
                        remote.spawn([&count]() -> task<> {
                            co_await yield();
                            ++count;
                        });
                    }
                });
            }
            co_return;
        });
        CHECK(count == threads * each);
    }(spawners, ran));
    for (std::thread& thread : spawners) thread.join();
    CHECK(ran == threads * each);
    check_baseline(used);
}

TEST_CASE("an_error_of_a_child_from_another_thread_is_the_groups", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    std::thread spawner;
    used.run([](std::thread& started) -> task<> {
        const result<void> ended = co_await scope([&](task_group& group) -> task<result<void>> {
            started = std::thread([remote = group.remote()] {
                remote.spawn([]() -> task<result<void>> { co_return failure(from_errno(EIO)); });
            });
            co_return {};
        });
        CHECK(ended == failure(from_errno(EIO)));
    }(spawner));
    spawner.join();
    check_baseline(used);
}

TEST_CASE("a_group_is_open_as_long_as_a_remote_handle_is") {
    executor used({}, test_kernel());
    used.run([](executor& home) -> task<> {
        std::vector<int> order;
        co_await scope([&](task_group& group) -> task<> {
            auto remote = std::make_shared<std::optional<remote_spawner>>(group.remote());
            home.post([remote, &order] {
                order.push_back(1);
                remote->value().spawn([&order]() -> task<> {
                    order.push_back(2);
                    co_return;
                });
                remote->reset();
            });
            co_return;
        });
        order.push_back(3);
        CHECK(order == std::vector<int>{1, 2, 3});
    }(used));
    check_baseline(used);
}

TEST_CASE("a_child_that_is_spawned_from_elsewhere_into_a_cancelled_group_is_born_cancelled", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        result<void> slept;
        co_await scope([&](task_group& group) -> task<> {
            group.cancel();
            const remote_spawner remote = group.remote();
            std::thread([remote, &slept] {
                remote.spawn([&slept]() -> task<> { slept = co_await sleep(1h); });
            }).join();
            co_return;
        });
        CHECK(slept == failure(errc::cancelled));
    }());
    check_baseline(used);
}

TEST_CASE("a_child_that_is_spawned_from_elsewhere_into_a_destroyed_group_never_runs", "[linux]") {
    executor used({}, test_kernel());
    bool ran = false;
    used.run([](bool& flag) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        const remote_spawner remote = group->remote();
        std::thread([remote, &flag] {
            remote.spawn([&flag]() -> task<> {
                flag = true;
                co_return;
            });
        }).join();
        group.reset();
        for (int turn = 0; turn < 3; ++turn) co_await next_turn{};
    }(ran));
    used.run_posts();
    CHECK_FALSE(ran);
    check_baseline(used);
}

TEST_CASE("a_remote_handle_may_outlive_its_group_and_its_executor", "[linux]") {
    std::optional<remote_spawner> kept;
    bool ran = false;
    {
        executor used({}, test_kernel());
        used.run([](std::optional<remote_spawner>& remote) -> task<> {
            task_group group(co_await this_scope{});
            remote.emplace(group.remote());
        }(kept));
        check_baseline(used);
    }
    std::thread([&] {
        kept->spawn([&ran]() -> task<> {
            ran = true;
            co_return;
        });
        kept.reset();
    }).join();
    CHECK_FALSE(ran);
}

TEST_CASE("another_thread_cancels_a_group", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        std::thread other;
        result<void> slept;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](result<void>& told) -> task<> { told = co_await sleep(1h); }(slept));
            co_await yield();
            other = std::thread([remote = group.remote()] { remote.cancel(); });
        });
        other.join();
        CHECK(slept == failure(errc::cancelled));
    }());
    check_baseline(used);
}

TEST_CASE("who_cancels_a_scope_from_elsewhere_cancels_its_body_too_and_the_scope_says_so") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const bool child_waits = true;
        result<void> slept;
        const result<int> outcome = co_await scope([&](task_group& group) -> task<result<int>> {
            if (child_waits) group.spawn([]() -> task<result<void>> { co_return co_await sleep(1h); }());
            executor::current()->post([remote = group.remote()] { remote.cancel(); });
            slept = co_await sleep(1h);
            co_return 7;
        });
        CHECK(slept == failure(errc::cancelled));
        CHECK(outcome == failure(errc::cancelled));
    }());
    check_baseline(used);
}

TEST_CASE("a_group_without_a_limit_has_a_place_for_everybody") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        int ran = 0;
        co_await scope(group_options{.max_children = 0}, [&](task_group& group) -> task<> {
            for (int number = 0; number < 100; ++number) {
                const result<void> spawned = co_await group.spawn_bounded([](int& count) -> task<> {
                    ++count;
                    co_return;
                }(ran));
                CHECK(spawned);
            }
        });
        CHECK(ran == 100);
    }());
    check_baseline(used);
}
