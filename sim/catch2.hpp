// Simulated tests with Catch2 3: a test case that runs in one world after the other.
//
//     CHAINRING_SIM_TEST(1000, "a_client_is_answered") {
//         cr::sim::host& server = play.add("10.0.0.1", [] { return serve(7000); });
//         cr::sim::host& client = play.add("10.0.0.2", [] { return ask("10.0.0.1", 7000); });
//         play.run_for(world.choose(100, "until the server is killed") * 1ms);
//         server.restart();
//         play.run_until([&] { return client.ended(); });
//         CHECK(...);
//     }
//
// A test that fails ends with the commands that repeat its failure and shrink it (failure_lines.hpp), and runs no other world. So does
// any test case that calls `each_seed`. No SECTION and no GENERATE in it, and no co_await within CHECK: GCC
// awaits twice. Within a host's program use CHECK and not REQUIRE: an exception there is a failure of the world, which ends the process.
//
// The library needs no Catch2; this header is yours to include.
#pragma once

#include <chainring/sim/failure_lines.hpp>
#include <chainring/sim/seeds.hpp>
#include <chainring/sim/simulation.hpp>

#include <catch2/catch_assertion_result.hpp>
#include <catch2/catch_message.hpp>
#include <catch2/catch_section_info.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace chainring::sim::detail {

// Several of them, one of each source that includes this, print the lines once.
class repeat_listener final : public Catch::EventListenerBase {
  public:
    using EventListenerBase::EventListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& begun) override {
        std::string name;
        for (const char each : begun.name) {
            if (each == ',' || each == '[' || each == '\\') name += '\\'; // Catch2's own
            name += each;
        }
        test_begins({name});
    }
    // Catch2 enters one section in each run of the test case, and not in each world.
    void sectionStarting(const Catch::SectionInfo& begun) override {
        if (!a_world_runs()) return;
        std::fprintf(
            stderr, "chainring: simulation: a SECTION within a simulated world: %s\n", begun.name.c_str());
        std::abort();
    }
    // Also called for a signal, such as the abort of a world that can't go on.
    void assertionEnded(const Catch::AssertionStats& ended) override {
        if (!ended.assertionResult.isOk()) tell_of_a_failed_check();
    }
};

CATCH_REGISTER_LISTENER(repeat_listener)

template <class Body> void play_each_seed(std::uint64_t count, Body body) {
    each_seed(count, [&body](world& within) {
        INFO("in the world of seed " << within.seed() << ", with " << within.knobs().to_string());
        simulation play(within);
        body(within, play);
    });
}

} // namespace chainring::sim::detail

// (seeds, name, and tags where there are some): `world` and `play`, a simulation in it, are there for the body.
#define CHAINRING_SIM_TEST(seeds, ...)                                                                       \
    CHAINRING_SIM_TEST_AS(CHAINRING_SIM_JOIN(chainring_sim_test_, __COUNTER__), seeds, __VA_ARGS__)
#define CHAINRING_SIM_TEST_AS(function, seeds, ...)                                                          \
    static void function(chainring::sim::world&, chainring::sim::simulation&);                               \
    TEST_CASE(__VA_ARGS__) {                                                                                 \
        chainring::sim::detail::play_each_seed(seeds, function);                                             \
    }                                                                                                        \
    static void function(                                                                                    \
        [[maybe_unused]] chainring::sim::world& world, [[maybe_unused]] chainring::sim::simulation& play)
#define CHAINRING_SIM_JOIN(left, right) CHAINRING_SIM_JOIN_NOW(left, right)
#define CHAINRING_SIM_JOIN_NOW(left, right) left##right
