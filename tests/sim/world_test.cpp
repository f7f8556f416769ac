// Decisions, virtual time, and what the simulation says when it cannot go on.
#include "last_words.hpp"

#include <sstream>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<> sleep_an_hour(sim::world&) {
    must(co_await chainring::sleep(1h));
}

task<> accept_for_ever(sim::world&) {
    auto listener = must(tcp_listener::bind({"127.0.0.1", 7000}));
    must(co_await listener.accept());
}

task<> use_an_operation_that_is_missing(sim::world&) {
    co_await uring([](io_uring_sqe& sqe) { io_uring_prep_fsync(&sqe, 0, 0); });
}

} // namespace

TEST_CASE("decisions_follow_from_the_seed_alone", "[real]") {
    sim::world one(7, {});
    sim::world same(7, {});
    sim::world other(8, {});
    bool differs = false;
    for (int count = 0; count < 100; ++count) {
        const auto chosen = one.choose(1000, "a number");
        CHECK(chosen < 1000);
        CHECK(chosen == same.choose(1000, "a number"));
        differs |= chosen != other.choose(1000, "a number");
    }
    CHECK(differs);
    CHECK(one.decisions() == 100);
    CHECK(one.hash() == same.hash());
    CHECK(one.hash() != other.hash());
}

TEST_CASE("one_alternative_and_a_fault_that_never_occurs_are_no_decisions", "[real]") {
    sim::world world(1, {});
    CHECK(world.choose(1, "the only one") == 0);
    CHECK_FALSE(world.chance(0, "never"));
    CHECK(world.decisions() == 0);
}

TEST_CASE("each_knob_is_off_in_some_worlds_and_on_in_others", "[real]") {
    unsigned with = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) with += sim::world(seed).knobs().early_end != 0 ? 1 : 0;
    CHECK(with > 20);
    CHECK(with < 80);
}

TEST_CASE("the_log_of_a_run_repeats_it_and_beyond_its_end_all_is_harmless", "[real]") {
    std::stringstream log;
    sim::world first(9);
    first.log_to(&log);
    for (int count = 0; count < 20; ++count) (void)first.choose(5, "a number, for example");
    const std::vector<std::uint32_t> choices = sim::read_choices(log);
    CHECK(choices.size() == first.decisions());

    sim::world second = sim::world::replaying(1234, choices);
    CHECK(second.knobs().to_string() == first.knobs().to_string());
    for (int count = 0; count < 20; ++count) (void)second.choose(5, "a number, for example");
    CHECK(second.hash() == first.hash());
    CHECK(second.choose(5, "a number, for example") == 0);
    CHECK_FALSE(second.chance(999, "a fault"));
}

TEST_CASE("a_log_that_asks_for_more_than_there_is_takes_the_last_alternative", "[real]") {
    std::istringstream log("1: knobs, 7 of 9\n   a remark, 3 of 4\n\n");
    CHECK(sim::read_choices(log) == std::vector<std::uint32_t>{7});
    const std::vector<std::uint32_t> nines(100, 9);
    sim::world world = sim::world::replaying(1, nines);
    CHECK(world.choose(3, "a number") == 2);
}

TEST_CASE("what_is_no_decision_log_is_refused", "[real]") {
    for (const char* const wrong :
         {"not a decision\n", "7 of 9\n", "1: knobs, seven of 9\n", "1: knobs, 7\n"}) {
        std::istringstream log(wrong);
        CHECK_THROWS_AS(sim::read_choices(log), std::invalid_argument);
    }
}

TEST_CASE("a_choice_among_nothing_is_refused", "[real]") {
    const std::string text = last_words([] {
        sim::world world(5);
        (void)world.choose(0, "whom to ask");
    });
    CAPTURE(text);
    CHECK(text.contains("a choice among nothing: whom to ask"));
}

TEST_CASE("a_program_that_goes_round_in_a_circle_is_ended_after_as_many_enters_as_are_allowed", "[real]") {
    const std::string text = last_words([] {
        sim::world world(5);
        world.allow_enters(1000);
        in_world(world, [](sim::world&) -> task<> {
            for (;;) must(co_await chainring::sleep(1ms));
        });
    });
    CAPTURE(text);
    CHECK(text.contains("no end in sight after 1000 enters"));
}

TEST_CASE("a_world_that_has_healed_has_no_fault_any_more", "[real]") {
    sim::world world(2, {.later = 500, .silence = 999, .buffer = 2048});
    world.heal();
    CHECK(world.knobs().to_string() == sim::faults{.buffer = 2048}.to_string());
}

TEST_CASE("a_program_that_is_repeatable_may_be_run_twice", "[real]") {
    unsigned runs = 0;
    sim::run_twice(11, [&runs](sim::world& world) {
        ++runs;
        in_world(world, sleep_an_hour);
    });
    CHECK(runs == 2);
}

TEST_CASE("a_program_that_is_not_repeatable_is_told_the_first_decision_that_differs", "[real]") {
    const std::string text = last_words([] {
        std::uint32_t alternatives = 5;
        sim::run_twice(11, [&alternatives](sim::world& world) {
            (void)world.choose(3, "the same");
            (void)world.choose(alternatives++, "another one");
        });
    });
    CAPTURE(text);
    CHECK(text.contains("not repeatable"));
    CHECK(text.contains("(another one, "));
    CHECK(text.contains(" of 5), of the second it is (another one, "));
}

TEST_CASE("a_program_that_ends_earlier_the_second_time_is_not_repeatable", "[real]") {
    const std::string text = last_words([] {
        bool again = false;
        sim::run_twice(11, [&again](sim::world& world) {
            if (!std::exchange(again, true)) (void)world.choose(3, "only once");
        });
    });
    CAPTURE(text);
    CHECK(text.contains("of the second it is (the end)"));
}

TEST_CASE("a_sleep_of_an_hour_takes_an_hour_of_virtual_time_and_no_real_time", "[real]") {
    const auto begun = std::chrono::steady_clock::now();
    sim::world world(3, {});
    const course went = in_world(world, sleep_an_hour);
    CHECK(went.time >= 1h);
    CHECK(went.time < 1h + 1ms);
    CHECK(std::chrono::steady_clock::now() - begun < 1min);
}

TEST_CASE("a_program_that_can_never_go_on_is_told_what_it_waits_for", "[real]") {
    const std::string text = last_words([] { in_world(5, accept_for_ever); });
    CAPTURE(text);
    CHECK(text.contains("seed 5"));
    CHECK(text.contains("deadlock"));
    CHECK(text.contains("waiting: accept on descriptor"));
}

TEST_CASE("an_operation_that_the_simulation_lacks_is_refused_by_name", "[real]") {
    const std::string text = last_words([] { in_world(5, use_an_operation_that_is_missing); });
    CAPTURE(text);
    CHECK(text.contains("the simulation lacks the operation fsync"));
}
