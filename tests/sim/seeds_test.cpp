// Which worlds a test runs, and what it says of one that fails.
#include "environment.hpp"
#include "last_words.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;

namespace {

std::vector<std::uint64_t> seeds_of(std::uint64_t count, const sim::seed_options& options = {}) {
    std::vector<std::uint64_t> all;
    sim::each_seed(count, [&all](sim::world& world) { all.push_back(world.seed()); }, options);
    return all;
}

ending ending_of_program(const sim::world_body& body) {
    return ending_of([&body] { ::_exit(sim::run_seeds(10, body)); });
}

// Exited with 1, and told how to repeat the world of seed 3.
void check_told(const ending& found, const std::string& why) {
    CAPTURE(found.text);
    REQUIRE(WIFEXITED(found.status));
    CHECK(WEXITSTATUS(found.status) == 1);
    CHECK(found.text.contains("simulation with seed 3"));
    CHECK(found.text.contains(why));
    CHECK(found.text.contains("\nrepeat it:  CHAINRING_SIM_SEED=3 '/"));
    CHECK(found.text.contains("\nshrink it:  scripts/shrink 3 '/"));
}

} // namespace

TEST_CASE("a_test_runs_as_many_worlds_as_it_says_the_first_of_them_twice") {
    const no_variables clean;
    CHECK(seeds_of(3) == std::vector<std::uint64_t>{0, 0, 1, 2});
    CHECK(seeds_of(1) == std::vector<std::uint64_t>{0});
    CHECK(seeds_of(2, {.twice = true}) == std::vector<std::uint64_t>{0, 0, 1, 1});
}

TEST_CASE("the_environment_says_which_worlds_a_test_runs") {
    const no_variables clean;
    {
        const variable only("CHAINRING_SIM_SEED", "64");
        CHECK(seeds_of(3) == std::vector<std::uint64_t>{64});
        const variable twice("CHAINRING_SIM_TWICE", "1");
        CHECK(seeds_of(3) == std::vector<std::uint64_t>{64, 64});
    }
    const variable first("CHAINRING_SIM_FIRST", "10");
    const variable count("CHAINRING_SIM_SEEDS", "2");
    CHECK(seeds_of(3) == std::vector<std::uint64_t>{10, 10, 11});
}

TEST_CASE("an_environment_that_says_nothing_sensible_is_refused") {
    const no_variables clean;
    for (const char* const wrong : {"", "abc", "-1", "1e3", "99999999999999999999"}) {
        const variable seed("CHAINRING_SIM_SEED", wrong);
        CHECK_THROWS_AS(seeds_of(1), std::invalid_argument);
    }
    CHECK_THROWS_AS(seeds_of(0), std::invalid_argument);
    const variable replay("CHAINRING_SIM_REPLAY", "/no/such/file");
    CHECK_THROWS_AS(seeds_of(1), std::invalid_argument);
}

TEST_CASE("the_log_of_a_seeds_world_repeats_it") {
    const no_variables clean;
    const std::filesystem::path log =
        std::filesystem::temp_directory_path() / ("chainring-" + std::to_string(::getpid()) + ".log");
    std::vector<std::uint32_t> chosen;
    const auto choose = [&chosen](sim::world& world) {
        chosen.clear();
        for (int count = 0; count < 10; ++count) chosen.push_back(world.choose(100, "a number"));
    };
    {
        const variable written("CHAINRING_SIM_LOG", log.c_str());
        const variable seed("CHAINRING_SIM_SEED", "5");
        sim::each_seed(1, choose);
    }
    const std::vector<std::uint32_t> first = chosen;
    const variable replayed("CHAINRING_SIM_REPLAY", log.c_str());
    sim::each_seed(1, choose);
    CHECK(chosen == first);
    const ending found = ending_of_program([](sim::world& world) { world.fail("a message is lost"); });
    CHECK(found.text.contains(
        "\nrepeat it:  CHAINRING_SIM_REPLAY='" + log.string() + "' CHAINRING_SIM_SEED=0 "));
    CHECK_FALSE(found.text.contains("shrink it:"));
    std::filesystem::remove(log);
}

TEST_CASE("a_plain_program_ends_with_0_where_no_world_fails") {
    const no_variables clean;
    const ending found = ending_of_program([](sim::world&) {});
    CHECK(found.status == 0);
    CHECK(found.text.empty());
}

TEST_CASE("a_world_of_a_plain_program_that_fails_is_told_with_the_commands_that_repeat_and_shrink_it") {
    const no_variables clean;
    const ending found = ending_of_program([](sim::world& world) {
        if (world.seed() == 3) world.fail("a message is lost");
    });
    check_told(found, "a message is lost");
}

TEST_CASE("an_exception_of_a_plain_programs_test_is_a_failure_of_its_world") {
    const no_variables clean;
    check_told(
        ending_of_program([](sim::world& world) {
            if (world.seed() >= 3) throw std::runtime_error("it is the third");
        }),
        "it is the third");
}

TEST_CASE("an_assertion_of_a_plain_program_that_fails_is_told_with_the_commands_that_repeat_it") {
    const no_variables clean;
    const ending found = ending_of_program([](sim::world& world) {
        if (world.seed() == 3) std::abort();
    });
    CHECK(WIFEXITED(found.status));
    CHECK(found.text.contains("repeat it:  CHAINRING_SIM_SEED=3 "));
}

TEST_CASE("a_plain_program_that_exits_within_a_world_has_failed") {
    const no_variables clean;
    const ending found = ending_of_program([](sim::world& world) {
        if (world.seed() == 3) std::exit(0);
    });
    CAPTURE(found.text);
    REQUIRE(WIFEXITED(found.status));
    CHECK(WEXITSTATUS(found.status) == 1);
    CHECK(found.text.contains("exited within a simulated world"));
    CHECK(found.text.contains("\nrepeat it:  CHAINRING_SIM_SEED=3 "));
}

TEST_CASE("what_is_not_repeatable_is_repeated_by_running_it_twice") {
    const no_variables clean;
    unsigned runs = 0;
    const ending found =
        ending_of_program([&runs](sim::world& world) { (void)world.choose(5 + runs++, "how often it ran"); });
    CAPTURE(found.text);
    CHECK(found.text.contains("not repeatable"));
    CHECK(found.text.contains("\nrepeat it:  CHAINRING_SIM_TWICE=1 CHAINRING_SIM_SEED=0 "));
    CHECK_FALSE(found.text.contains("shrink it:"));
}

TEST_CASE("a_plain_program_that_is_asked_for_nonsense_says_so_and_ends_with_1") {
    const no_variables clean;
    const variable count("CHAINRING_SIM_SEEDS", "many");
    const ending found = ending_of_program([](sim::world&) {});
    CHECK(WEXITSTATUS(found.status) == 1);
    CHECK(found.text.contains("CHAINRING_SIM_SEEDS is not a number: \"many\""));
}

TEST_CASE("drawn_sizes_are_small_in_some_worlds_and_big_in_others") {
    std::vector<unsigned> budgets;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed, sim::faults{});
        const executor_options drawn = sim::drawn_options(world);
        CHECK(drawn.ring.completion_entries >= drawn.ring.submission_entries);
        budgets.push_back(drawn.budget);
    }
    CHECK(std::ranges::count(budgets, 1U) > 5);
    CHECK(std::ranges::count(budgets, 256U) > 5);
}

TEST_CASE("a_failure_prints_the_sizes_that_were_drawn") {
    const std::string text = last_words([] {
        sim::world world(5);
        const executor_options drawn = sim::drawn_options(world);
        std::fprintf(stderr, "drawn: %u\n", drawn.budget);
        world.fail("this one");
    });
    CAPTURE(text);
    const std::string budget = text.substr(7, text.find('\n') - 7);
    CHECK(text.contains("; an executor with submissions="));
    CHECK(text.contains(" budget=" + budget + ")"));
}

CHAINRING_SIM_TEST(20, "a_test_of_several_machines_has_a_world_and_a_simulation") {
    CHECK(&play.within() == &world);
    unsigned ended = 0;
    sim::host& only = play.add("10.0.0.1", [&ended]() -> task<> {
        must(co_await chainring::sleep(std::chrono::milliseconds(5)));
        ++ended;
    });
    play.run_until([&] { return only.ended(); });
    CHECK(ended == 1);
}

CHAINRING_SIM_TEST(20, "a_test_of_several_machines_may_have_tags_and_need_no_world", "[tagged]") {}

TEST_CASE("the_log_says_when_machines_start_and_end_and_what_the_test_remarks") {
    sim::world world(1, sim::faults{});
    std::ostringstream log;
    world.log_to(&log);
    sim::simulation play(world);
    sim::host& only =
        play.add("10.0.0.1", []() -> task<> { must(co_await chainring::sleep(std::chrono::hours(1))); });
    only.restart();
    world.remark("so much\nfor it");
    only.end(sim::death::power_cut);
    const std::string text = log.str();
    CAPTURE(text);
    CHECK(text.contains("   10.0.0.1 is killed\n   10.0.0.1 starts\n"));
    CHECK(text.contains("   so much for it\n   10.0.0.1 loses power\n"));
    std::istringstream again(text);
    CHECK(sim::read_choices(again).size() == world.decisions());
}
