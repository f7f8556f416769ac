// Runs a program twice in the same world. One that asks a real clock, a thread, or the address of something goes another
// way the second time, and no seed or log will ever repeat its failures.
//
//     sim::run_twice(42, [](sim::world& world) {
//         sim::simulated_kernel kernel(world);
//         executor home({}, kernel);
//         home.run(serve());
//     });
#pragma once

#include <chainring/sim/world.hpp>

#include <concepts>

namespace chainring::sim {

// At the first decision that differs the second world fails, and names it. What `run` uses must begin anew with each call.
template <std::invocable<world&> Run> void run_twice(std::uint64_t seed, Run run) {
    world first(seed);
    first.record();
    run(first);
    world second(seed);
    second.expect(first);
    run(second);
    second.check_all_expected_came();
}

} // namespace chainring::sim
