// Decisions, virtual time, and what the simulation says when it cannot go on.
#include "last_words.hpp"

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

TEST_CASE("decisions_follow_from_the_seed_alone") {
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

TEST_CASE("one_alternative_and_a_fault_that_never_occurs_are_no_decisions") {
    sim::world world(1, {});
    CHECK(world.choose(1, "the only one") == 0);
    CHECK_FALSE(world.chance(0, "never"));
    CHECK(world.decisions() == 0);
}

TEST_CASE("each_knob_is_off_in_some_worlds_and_on_in_others") {
    unsigned with = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) with += sim::world(seed).knobs().early_end != 0 ? 1 : 0;
    CHECK(with > 20);
    CHECK(with < 80);
}

TEST_CASE("a_sleep_of_an_hour_takes_an_hour_of_virtual_time_and_no_real_time") {
    const auto begun = std::chrono::steady_clock::now();
    sim::world world(3, {});
    const course went = in_world(world, sleep_an_hour);
    CHECK(went.time >= 1h);
    CHECK(went.time < 1h + 1ms);
    CHECK(std::chrono::steady_clock::now() - begun < 1min);
}

TEST_CASE("a_program_that_can_never_go_on_is_told_what_it_waits_for") {
    const std::string text = last_words([] { in_world(5, accept_for_ever); });
    CAPTURE(text);
    CHECK(text.contains("seed 5"));
    CHECK(text.contains("deadlock"));
    CHECK(text.contains("waiting: accept on descriptor"));
}

TEST_CASE("an_operation_that_the_simulation_lacks_is_refused_by_name") {
    const std::string text = last_words([] { in_world(5, use_an_operation_that_is_missing); });
    CAPTURE(text);
    CHECK(text.contains("the simulation lacks the operation fsync"));
}
