// The order in which coroutines go on is part of what a seed decides: where it is not, a world says so.
#include "environment.hpp"
#include "last_words.hpp"

#include <chainring/sim/simulation.hpp>
#include <chainring/sync/event.hpp>

#include <array>
#include <sstream>

using namespace chainring;
using namespace chainring::test;

namespace {

constexpr std::size_t sleepers = 3;
using indices = std::array<std::size_t, sleepers>;

constexpr indices first_to_last = {0, 1, 2};
constexpr indices last_to_first = {2, 1, 0};

task<> wait_twice(event& first, event& second) {
    must(co_await first.wait());
    must(co_await second.wait());
}

// As many resumptions at the same places, whatever the order.
task<> wake_in_order(indices order) {
    std::array<event, sleepers> first;
    std::array<event, sleepers> second;
    co_await scope([&](task_group& group) -> task<> {
        for (std::size_t each = 0; each < sleepers; ++each)
            group.spawn(wait_twice(first[each], second[each]));
        co_await one_turn();
        for (const std::size_t each : order) first[each].set();
        co_await one_turn();
        for (const std::size_t each : order) second[each].set();
    });
}

std::uint64_t hash_of(indices order) {
    sim::world world(3, sim::faults{});
    return in_world(world, [order](sim::world&) { return wake_in_order(order); }).hash;
}

// On a machine among several.
std::uint64_t hash_of_machine(indices order) {
    sim::world world(3, sim::faults{});
    sim::simulation play(world);
    sim::host& only = play.add("10.0.0.1", [order] { return wake_in_order(order); });
    play.run_until([&only] { return only.ended(); });
    return world.hash();
}

// Of a world that wakes them in another order the second time.
std::string difference_between(indices one, indices other) {
    const no_variables clean;
    return last_words([one, other] {
        bool again = false;
        const auto run = [&again, one, other](sim::world& world) {
            const indices order = std::exchange(again, true) ? other : one;
            in_world(world, [order](sim::world&) { return wake_in_order(order); });
        };
        sim::each_seed(1, run, {.twice = true});
    });
}

task<> wait_and_end(event& until) {
    must(co_await until.wait());
}

// Destroys coroutines that wait, and begins others in their memory.
task<> wait_where_others_waited(event& until) {
    for (int round = 0; round < 5; ++round) {
        event never;
        cancel_scope& mine = co_await this_scope{};
        {
            task_group doomed(mine);
            doomed.spawn(wait_and_end(never));
            co_await one_turn();
        }
        co_await one_turn();
    }
    until.set();
}

} // namespace

TEST_CASE("the_same_order_of_resumptions_has_the_same_hash_and_another_one_another") {
    CHECK(hash_of(first_to_last) == hash_of(first_to_last));
    CHECK(hash_of(first_to_last) != hash_of(last_to_first));
    CHECK(hash_of(first_to_last) != hash_of({0, 2, 1}));
    CHECK(hash_of_machine(first_to_last) == hash_of_machine(first_to_last));
    CHECK(hash_of_machine(first_to_last) != hash_of_machine(last_to_first));
}

TEST_CASE("tasks_that_go_on_in_another_order_the_second_time_are_not_repeatable_and_told_the_first_one") {
    const std::string text = difference_between(first_to_last, {0, 2, 1});
    CAPTURE(text);
    CHECK(text.contains("the program is not repeatable: after the same decisions, resumption "));
    CHECK(text.contains(" of the first run was (wait "));
    CHECK(text.contains(", of the second it is (wait "));
    CHECK(text.contains("wait_twice at "));
}

TEST_CASE("coroutines_that_wait_where_others_were_destroyed_are_others") {
    std::uint64_t hashes[2];
    for (std::uint64_t& each : hashes) {
        sim::world world(3, sim::faults{});
        each = in_world(world, [](sim::world&) -> task<> {
                   event until;
                   co_await scope([&](task_group& group) -> task<> {
                       group.spawn(wait_and_end(until));
                       group.spawn(wait_where_others_waited(until));
                       co_return;
                   });
               }).hash;
    }
    CHECK(hashes[0] == hashes[1]);
}

TEST_CASE("the_log_of_a_world_says_which_coroutine_goes_on") {
    sim::world world(3, sim::faults{});
    std::ostringstream log;
    world.log_to(&log);
    in_world(world, [](sim::world&) { return wake_in_order(last_to_first); });
    CAPTURE(log.str());
    CHECK(log.str().contains("   resumption of wait "));
}
