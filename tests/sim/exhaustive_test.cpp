// The search through all worlds of a program.
#include "environment.hpp"
#include "last_words.hpp"
#include "small_worlds.hpp"

#include <unistd.h>

#include <filesystem>
#include <set>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;

namespace {

// What a program of decisions alone does in every run.
template <class Program>
std::multiset<std::string>
runs_of(const sim::faults& given, const sim::exploration_limits& limits, Program program) {
    std::multiset<std::string> all;
    const sim::explored done =
        sim::explore(given, limits, [&](sim::world& world) { all.insert(program(world)); });
    CHECK(done.complete);
    CHECK(done.runs == all.size());
    return all;
}

} // namespace

TEST_CASE("all_choices_are_made_once_whatever_the_ones_before_them_lead_to") {
    const auto all = runs_of({}, {}, [](sim::world& world) {
        std::string text = std::to_string(world.choose(2, "first"));
        const std::uint32_t count = text == "0" ? 3 : 2;
        text += std::to_string(world.choose(count, "second"));
        if (text == "11") text += std::to_string(world.choose(2, "third"));
        return text;
    });
    CHECK(all == std::multiset<std::string>{"00", "01", "02", "10", "110", "111"});
}

TEST_CASE("a_program_without_decisions_has_one_world") {
    CHECK(runs_of({}, {}, [](sim::world&) { return std::string("done"); }).size() == 1);
}

TEST_CASE("a_chance_is_tried_both_ways_however_rare_it_is") {
    const auto all = runs_of({.later = 1, .refused = 900}, {}, [](sim::world& world) {
        const bool later = world.chance(world.knobs().later, "later");
        const bool refused = world.chance(world.knobs().refused, "refused");
        const bool never = world.chance(0, "never");
        const bool always = world.chance(1000, "always");
        CHECK_FALSE(never);
        CHECK(always);
        return std::string(later ? "y" : "n") + (refused ? "y" : "n");
    });
    CHECK(all == std::multiset<std::string>{"nn", "ny", "yn", "yy"});
}

TEST_CASE("a_limit_on_faults_leaves_out_the_worlds_with_more_of_them_and_nothing_else") {
    const auto all = runs_of({}, {.faults = 1}, [](sim::world& world) {
        std::string text;
        for (int count = 0; count < 4; ++count) text += world.chance(500, "a fault") ? 'y' : 'n';
        return text + std::to_string(world.choose(2, "no fault"));
    });
    CHECK(all.size() == 5 * 2);
    CHECK(all.count("nynn1") == 1);
}

TEST_CASE("an_exploration_says_when_it_has_not_tried_all") {
    const auto three = [](sim::world& world) { (void)world.choose(3, "one of three"); };
    CHECK_FALSE(sim::explore({}, {.runs = 2}, three).complete);
    CHECK(sim::explore({}, {.runs = 3}, three).complete);
    const sim::explored thinned = sim::explore(
        {}, {.alternatives = 3}, [](sim::world& world) { (void)world.choose(1000, "one of many"); });
    CHECK(thinned.runs == 3);
    CHECK(thinned.thinned);
    CHECK(thinned.choices == std::vector<std::uint32_t>{999});
}

TEST_CASE("a_run_that_fails_ends_the_exploration_and_can_be_repeated_by_its_choices") {
    const auto number = [](sim::world& world) {
        const std::uint32_t tens = world.choose(10, "tens");
        return 10 * tens + world.choose(10, "ones");
    };
    const sim::explored failed = sim::explore({}, {}, [&](sim::world& world) { return number(world) != 42; });
    CHECK_FALSE(failed.complete);
    CHECK(failed.runs == 43);
    sim::world again = sim::world::replaying(0, sim::faults{}, failed.choices);
    CHECK(number(again) == 42);
}

TEST_CASE("an_exploration_that_fails_leaves_the_log_of_the_run_and_says_how_to_repeat_and_shrink_it") {
    const no_variables clean;
    const std::filesystem::path log = std::filesystem::temp_directory_path() /
                                      ("chainring-" + std::to_string(::getpid()) + "-explored.log");
    unsigned runs = 0;
    const auto never_both = [&runs](sim::world& world) {
        ++runs;
        const bool first = world.choose(2, "the first") == 1;
        if (world.choose(2, "the second") == 1 && first) world.fail("both of them");
    };
    {
        const variable written("CHAINRING_SIM_LOG", log.c_str());
        const std::string text = last_words([&] { sim::explore({}, {}, never_both); });
        CAPTURE(text);
        CHECK(text.contains("both of them"));
        CHECK(text.contains("\nrepeat it:  CHAINRING_SIM_SEED=3 '/"));
        CHECK(text.contains("\nshrink it:  "));
    }
    const variable replayed("CHAINRING_SIM_REPLAY", log.c_str());
    const std::string text = last_words([&] {
        sim::explore({}, {}, [&](sim::world& world) {
            if (runs == 1) world.fail("it was no failure");
            never_both(world);
        });
    });
    CAPTURE(text);
    CHECK(text.contains("both of them"));
    std::filesystem::remove(log);
}

TEST_CASE("a_program_that_is_not_repeatable_cannot_be_explored") {
    std::uint32_t alternatives = 2;
    const auto restless = [&](sim::world& world) { (void)world.choose(alternatives++, "more each time"); };
    CHECK_THROWS_AS(sim::explore({}, {}, restless), std::logic_error);
}

TEST_CASE("unlinked_sends_of_a_full_socket_have_all_orders_and_the_search_finds_each_of_them") {
    // Three operations that are ready at once.
    std::set<std::string> orders;
    const sim::explored all = sim::explore({.buffer = 4096}, {}, [&](sim::world& world) {
        sim::simulated_kernel kernel(world);
        ring used(kernel, {.submission_entries = 8, .completion_entries = 8});
        used.enable();
        statistics counters;
        const auto [near, far] = kernel.connected_pair(AF_UNIX, SOCK_STREAM);
        std::string bytes(4096, '.');
        REQUIRE(kernel.send(near, bytes.data(), bytes.size()) == 4096);
        for (const char* letter : {"A", "B", "C"})
            io_uring_prep_send(used.next_sqe(), near, letter, 1, MSG_NOSIGNAL);
        used.enter(waiting::none, nullptr, counters);
        REQUIRE(kernel.receive(far, bytes.data(), bytes.size()) == 4096);
        used.enter(waiting::none, nullptr, counters);
        bytes.resize(static_cast<std::size_t>(kernel.receive(far, bytes.data(), bytes.size())));
        orders.insert(bytes);
    });
    CHECK(all.complete);
    CHECK(all.runs == 6);
    CHECK(orders.size() == 6);
}
