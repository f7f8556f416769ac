// Runs a small program in every world there is: all orders and outcomes that its decisions allow, instead of those that
// some seeds draw.
//
//     const sim::explored all = sim::explore({.later = 1}, {.runs = 10'000}, [](sim::world& world) {
//         sim::simulated_kernel kernel(world);
//         executor home({}, kernel);
//         home.run(serve());
//     });
//     assert(all.complete);
//
// How often a fault occurs does not matter here: each occasion is tried with and without it. What a fault chooses among is
// tried in full too, and so is what the program itself draws from `world::choose`. Each decision doubles the runs or more, so
// limits are needed soon: on the faults of one run, say, since most bugs need one or two.
//
// An exploration takes the same course each time, so it comes to a failure again by itself, at the run whose number is the seed of its world.
// CHAINRING_SIM_LOG and CHAINRING_SIM_REPLAY are heeded as by each_seed (seeds.hpp), which is how the run that failed is shrunk, or run alone.
#pragma once

#include <chainring/sim/failure_lines.hpp>
#include <chainring/sim/log_file.hpp>
#include <chainring/sim/world.hpp>

#include <concepts>
#include <limits>

namespace chainring::sim {

struct exploration_limits {
    std::uint64_t runs = 1'000'000;
    // That occur in one run: of the chances that a world takes, how many may be a yes.
    unsigned faults = std::numeric_limits<unsigned>::max();
    // Of a decision among more than these the first ones and the last one are tried.
    std::uint32_t alternatives = 64;
};

struct explored {
    std::uint64_t runs = 0;
    bool complete = false;              // these were all runs within the limits on faults and alternatives
    bool thinned = false;               // a decision had more alternatives than the limit
    std::vector<std::uint32_t> choices; // of the last run, for world::replaying
};

// Depth first over the decisions of a program: after each run it names the next one.
class exploration {
  public:
    explicit exploration(const exploration_limits& limits);

    // Of the run that is next.
    const std::vector<std::uint32_t>& choices() const noexcept { return choices_; }
    std::uint64_t runs() const noexcept { return runs_; } // before this one
    // The run has made these decisions. False: it was the last one, or the only one, of a log. Throws std::logic_error if it did not begin as the
    // run before it: what is not repeatable can't be explored.
    bool advance(const std::vector<decision>& made);
    explored result() const { return {runs_, complete_, thinned_, choices_}; }

  private:
    void check_repeated(const std::vector<decision>& made) const;
    // 0: there is none.
    std::uint32_t after(const decision& made, unsigned faults_before);

    exploration_limits limits_;
    std::uint64_t runs_ = 0;
    bool complete_ = false;
    bool thinned_ = false;
    bool replaying_ = false;
    std::vector<std::uint32_t> choices_;
    std::vector<decision> expected_; // as many as choices, the last of which is new
};

// `Run`: (world&), which may return a bool: false ends the exploration. So does a failure that was told (failure_lines.hpp).
template <std::invocable<world&> Run>
explored explore(const faults& given, const exploration_limits& limits, Run run) {
    exploration all(limits);
    for (bool goes_on = true; goes_on;) {
        world next = world::replaying(all.runs(), given, all.choices());
        next.record();
        const wanted_log log(next);
        const running_world failing_here(next);
        if constexpr (std::predicate<Run, world&>)
            goes_on = run(next);
        else
            run(next);
        if (!goes_on || a_world_has_failed()) return {all.runs() + 1, false, false, all.choices()};
        goes_on = all.advance(next.recorded());
    }
    return all.result();
}

} // namespace chainring::sim
