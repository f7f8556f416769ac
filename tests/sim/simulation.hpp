// What the tests on the simulated kernel share: a body of tasks that runs in a world of its own.
#pragma once

#include "../net/sockets.hpp"

#include <chainring/sim/simulated_kernel.hpp>

#include <cstdlib>
#include <iostream>

namespace chainring::test {

// How a world went, for comparison.
struct course {
    std::uint64_t hash = 0;
    std::uint64_t decisions = 0;
    std::uint64_t completions = 0;
    duration time{};

    bool operator==(const course&) const = default;
};

// Sizes at which something runs out are as much of a fault as an error is.
inline executor_options small_options(sim::world& within) {
    executor_options options;
    constexpr unsigned submissions[] = {2, 8, 256};
    constexpr std::uint32_t blocks[] = {1, 4, 64};
    constexpr std::uint32_t sizes[] = {256, 1024, 4096};
    constexpr unsigned budgets[] = {1, 8, 256};
    options.ring.submission_entries = submissions[within.choose(3, "submission queue")];
    constexpr unsigned completions[] = {8, 64, 4096}; // but never less than submissions
    options.ring.completion_entries =
        std::max(options.ring.submission_entries, completions[within.choose(3, "completion queue")]);
    options.buffers.blocks = blocks[within.choose(3, "blocks")];
    options.buffers.block_size = sizes[within.choose(3, "block size")];
    options.direct_descriptors = 1 + within.choose(3, "direct descriptors");
    options.budget = budgets[within.choose(3, "budget")];
    return options;
}

// With address sanitizer a world takes ten times as long: then a third of them has to do.
inline constexpr std::uint64_t slowness =
#ifdef __has_feature
    __has_feature(address_sanitizer) ? 3 :
#endif
                                     1;

// Calls `run(seed)` for each of the first `count` seeds (see above), or of those that the environment names instead:
// CHAINRING_SIM_SEED=64 for one, CHAINRING_SIM_SEEDS=20000 for as many.
template <class Run> void each_seed(std::uint64_t count, Run run) {
    if (const char* one = std::getenv("CHAINRING_SIM_SEED")) return run(std::strtoull(one, nullptr, 10));
    if (const char* many = std::getenv("CHAINRING_SIM_SEEDS"))
        count = std::strtoull(many, nullptr, 10);
    else
        count /= slowness;
    for (std::uint64_t seed = 0; seed < count; ++seed) run(seed);
}

// Runs a test's body as a task and checks that nothing of it is left. `Body`: (sim::world&) -> task<>.
template <class Body> course in_world(sim::world& world, Body body) {
    CAPTURE(world.seed(), world.knobs().to_string());
    sim::simulated_kernel kernel(world);
    kernel.forbid_close_in_flight();
    kernel.forbid_cut_chains();
    const time_point begun = world.now();
    {
        executor home(small_options(world), kernel);
        home.run(body(world));
        check_baseline(home);
    }
    CHECK(kernel.open_descriptors() == 0);
    return {world.hash(), world.decisions(), world.completions(), world.now() - begun};
}

template <class Body> course in_world(std::uint64_t seed, Body body) {
    sim::world world(seed);
    if (std::getenv("CHAINRING_SIM_LOG") != nullptr) world.log_to(&std::cout);
    return in_world(world, std::move(body));
}

} // namespace chainring::test
