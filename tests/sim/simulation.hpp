// What the tests on the simulated kernel share: a body of tasks that runs in a world of its own.
#pragma once

#include "../net/sockets.hpp"
#include "failing_world.hpp"

#include <chainring/sim/repeat.hpp>
#include <chainring/sim/simulated_kernel.hpp>

#include <cstdlib>
#include <fstream>
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

// Where everything takes longer, fewer worlds have to do.
inline constexpr std::uint64_t slowness = with_sanitizer ? 10 : optimized ? 1 : 5;

inline std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* const given = std::getenv(variable);
    return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

// Calls `run(seed)` for each of the first `count` seeds (see above), or of those that the environment names instead:
// CHAINRING_SIM_SEED=64 for one, CHAINRING_SIM_SEEDS=20000 for as many, from CHAINRING_SIM_FIRST on. Ends with the first
// world that fails. Returns how many worlds there were.
template <class Run> std::uint64_t each_seed(std::uint64_t count, Run run) {
    const std::uint64_t first = number_of("CHAINRING_SIM_SEED", number_of("CHAINRING_SIM_FIRST", 0));
    count = number_of("CHAINRING_SIM_SEEDS", count / slowness);
    if (std::getenv("CHAINRING_SIM_SEED") != nullptr) count = 1;
    for (std::uint64_t number = 0; number < count; ++number) {
        run(first + number);
        if (a_world_has_failed) return number + 1;
    }
    return count;
}

// The world of a seed; or of the decision log that CHAINRING_SIM_REPLAY names, whatever the seed. Its decisions and
// completions go to the file that CHAINRING_SIM_LOG names ("-": standard output), the last world's in the end.
class world_of_seed {
  public:
    explicit world_of_seed(std::uint64_t seed, const sim::faults* given = nullptr)
        : world_(made(seed, given)) {
        const char* const log = std::getenv("CHAINRING_SIM_LOG");
        if (log == nullptr) return;
        if (std::string_view(log) != "-") file_.open(log);
        world_.log_to(file_.is_open() ? &file_ : &std::cout);
    }
    operator sim::world&() noexcept { return world_; }

  private:
    static sim::world made(std::uint64_t seed, const sim::faults* given) {
        const char* const log = std::getenv("CHAINRING_SIM_REPLAY");
        if (log == nullptr) return given != nullptr ? sim::world(seed, *given) : sim::world(seed);
        std::ifstream file(log);
        if (!file) FAIL("no decision log: " << log);
        const auto choices = sim::read_choices(file);
        return given != nullptr ? sim::world::replaying(seed, *given, choices)
                                : sim::world::replaying(seed, choices);
    }

    sim::world world_;
    std::ofstream file_;
};

// Runs a test's body as a task and checks that nothing of it is left; in every turn the executor's invariants must
// hold. `Body`: (sim::world&) -> task<>, or (sim::world&, sim::simulated_kernel&) -> task<>.
template <class Body> course in_world(sim::world& world, const executor_options& options, Body body) {
    CAPTURE(world.seed(), world.knobs().to_string());
    const running_world failing_here(world);
    sim::simulated_kernel kernel(world);
    kernel.forbid_close_in_flight();
    kernel.forbid_cut_chains();
    const time_point begun = world.now();
    {
        executor home(options, kernel);
        world.at_each_enter([&] {
            world.resumed(home.stats().resumptions);
            for (const std::string& broken : home.broken_invariants())
                world.fail("broken invariant: " + broken);
        });
        world.at_failure([&home](std::ostream& to) {
            home.dump(to);
            for (const std::string& held : home.holdings_report()) to << "still held: " << held << '\n';
        });
        if constexpr (std::is_invocable_v<Body&, sim::world&, sim::simulated_kernel&>)
            home.run(body(world, kernel));
        else
            home.run(body(world));
        check_baseline(home);
        world.at_each_enter({});
        world.at_failure({});
    }
    CHECK(kernel.open_descriptors() == 0);
    return {world.hash(), world.decisions(), world.completions(), world.now() - begun};
}

template <class Body> course in_world(sim::world& world, Body body) {
    return in_world(world, small_options(world), std::move(body));
}

template <class Body> course in_world(std::uint64_t seed, Body body) {
    world_of_seed world(seed);
    return in_world(static_cast<sim::world&>(world), std::move(body));
}

} // namespace chainring::test
