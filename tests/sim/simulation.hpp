// What the tests on the simulated kernel share: a body of tasks that runs in a world of its own.
#pragma once

#include "../net/sockets.hpp"

#include <chainring/sim/catch2.hpp>
#include <chainring/sim/drawn_options.hpp>
#include <chainring/sim/repeat.hpp>
#include <chainring/sim/simulated_kernel.hpp>

#include <algorithm>

namespace chainring::test {

// How a world went, for comparison.
struct course {
    std::uint64_t hash = 0;
    std::uint64_t decisions = 0;
    std::uint64_t completions = 0;
    duration time{};

    bool operator==(const course&) const = default;
};

// Of so many worlds as many as do where everything takes longer.
inline std::uint64_t fewer(std::uint64_t worlds) {
    constexpr std::uint64_t slowness = with_sanitizer ? 20 : optimized ? 1 : 5;
    return std::max<std::uint64_t>(worlds / slowness, 1);
}

// In this tree the script is not installed.
inline const bool shrinks_here = (sim::shrink_with("scripts/shrink"), true);

// Runs a test's body as a task and checks that nothing of it is left; in every turn the executor's invariants must
// hold. `Body`: (sim::world&) -> task<>, or (sim::world&, sim::simulated_kernel&) -> task<>.
template <class Body> course in_world(sim::world& world, const executor_options& options, Body body) {
    CAPTURE(world.seed(), world.knobs().to_string());
    sim::simulated_kernel kernel(world);
    kernel.forbid_close_in_flight();
    kernel.forbid_cut_chains();
    const time_point begun = world.now();
    {
        executor home(options, kernel);
        world.at_each_enter([&] {
            for (const std::string& broken : home.broken_invariants())
                world.fail("broken invariant: " + broken);
        });
        const sim::explanation what_it_does(world, [&home](std::ostream& to) {
            home.dump(to);
            for (const std::string& held : home.holdings_report()) to << "still held: " << held << '\n';
        });
        if constexpr (std::is_invocable_v<Body&, sim::world&, sim::simulated_kernel&>)
            home.run(body(world, kernel));
        else
            home.run(body(world));
        check_baseline(home);
        world.at_each_enter({});
    }
    CHECK(kernel.open_descriptors() == 0);
    return {world.hash(), world.decisions(), world.completions(), world.now() - begun};
}

template <class Body> course in_world(sim::world& world, Body body) {
    return in_world(world, sim::drawn_options(world), std::move(body));
}

template <class Body> course in_world(std::uint64_t seed, Body body) {
    sim::world world(seed);
    return in_world(world, std::move(body));
}

} // namespace chainring::test
