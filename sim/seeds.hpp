// A simulated test: a body that runs in the world of one seed after the other. As a plain program:
//
//     int main() {
//         return cr::sim::run_seeds(1000, [](cr::sim::world& world) {
//             cr::sim::simulation play(world);
//             ... // hosts, faults, and how long they go on
//             if (lost) world.fail("a message is lost"); // or throw
//         });
//     }
//
// With Catch2 see catch2.hpp. The environment says which worlds run instead:
//
//     CHAINRING_SIM_SEED=64      that one alone
//     CHAINRING_SIM_SEEDS=20000  as many
//     CHAINRING_SIM_FIRST=1000   from that seed on
//     CHAINRING_SIM_TWICE=1      each of them twice: a program that is not repeatable fails
//     CHAINRING_SIM_LOG=FILE     its decisions and completions go there, those of the last world in the end; "-": standard output
//     CHAINRING_SIM_REPLAY=FILE  the decisions of such a log, and not those of the seed
#pragma once

#include <chainring/sim/world.hpp>

#include <cstdint>
#include <functional>

namespace chainring::sim {

struct seed_options {
    // The faults of a seed's world, such as faults::with_errors. Without it each world draws some that are no errors.
    std::function<faults(std::uint64_t seed)> given = {};
    // Each world, and not only the first one of several.
    bool twice = false;
};

using world_body = std::function<void(world&)>;

// Calls `body(world)` for each of the first `count` seeds, and ends with the first world that fails. The first of several worlds is run
// twice, as by run_twice: so all that `body` uses must begin anew with each call. Returns how many worlds there were.
//
// The world lives as long as the call of `body`. An exception of `body` comes out. Throws std::invalid_argument for an environment
// that says nothing sensible.
std::uint64_t each_seed(std::uint64_t count, const world_body& body, const seed_options& options = {});

// The same for main, whose exit status it returns: 0, or 1 where a world has failed, by an exception of `body`, world::fail or
// an abort. Standard error has the reason, and the commands that repeat the failure and shrink it.
int run_seeds(std::uint64_t count, const world_body& body, const seed_options& options = {});

} // namespace chainring::sim
