// Worlds of a handful of operations, all of them.
#pragma once

#include "simulation.hpp"

#include <chainring/sim/exhaustive.hpp>

namespace chainring::test {

// No sizes are drawn, and nothing is larger than it must be.
inline executor_options smallest_options() {
    executor_options options;
    options.ring = {.submission_entries = 8, .completion_entries = 16};
    options.buffers = {.block_size = 256, .blocks = 4, .most_blocks = 16};
    options.budget = 32;
    return options;
}

// Where everything takes longer: of the faults in one run, and of the worlds the first ones.
constexpr unsigned up_to(unsigned faults) noexcept {
    return optimized ? faults : 1;
}
inline constexpr std::uint64_t first_worlds = 300;

// Runs the body in each world of such faults, and checks that these were all, and at least so many that something was
// tried.
template <class Body>
void in_every_world(
    std::uint64_t at_least, const sim::faults& given, const sim::exploration_limits& limits, Body body) {
    sim::exploration_limits of_this_build = limits;
    if (!optimized) of_this_build.runs = first_worlds;
    const sim::explored all = sim::explore(
        given, of_this_build, [&](sim::world& world) { in_world(world, smallest_options(), body); });
    if (sim::wanted_replay()) return; // of one world
    CAPTURE(all.runs);
    CHECK((all.complete || !optimized));
    CHECK_FALSE(all.thinned);
    CHECK(all.runs >= (optimized ? at_least : 10));
}

#define EACH_STREAM chainring::test::over_tcp, chainring::test::over_unix, chainring::test::over_seqpacket

template <class Over> endpoint small_address() {
    if constexpr (Over::tcp)
        return {"127.0.0.1", 7000};
    else
        return endpoint::from_abstract_name("small").value();
}

template <class Over> task<stream_pair<Over>> small_pair() {
    auto listener = must(Over::listener::bind(small_address<Over>()));
    auto near = must(co_await Over::stream::connect(small_address<Over>()));
    auto far = must(co_await listener.accept());
    must(co_await listener.close());
    co_return stream_pair<Over>{std::move(near), std::move(far)};
}

// Some turns, of which the world says how many.
inline task<> some_turns(sim::world& world, std::uint32_t most) {
    const std::uint32_t turns = world.choose(most + 1, "turns");
    for (std::uint32_t turn = 0; turn < turns; ++turn) co_await turn_begin();
}

} // namespace chainring::test
