#include <chainring/sim/simulation.hpp>

#include <algorithm>
#include <ostream>
#include <stdexcept>

namespace chainring::sim {

simulation::simulation(world& within)
    : world_(within)
    , network_(within)
    , explanation_(within, [this](std::ostream& to) {
        for (const auto& each : hosts_) each->describe(to);
    }) {}

simulation::~simulation() {
    for (const auto& each : hosts_) each->end(death::killed);
}

host& simulation::add(const std::string& address, host::program runs, const executor_options& options) {
    if (std::ranges::any_of(hosts_, [&address](const auto& each) { return each->address() == address; }))
        throw std::invalid_argument("two machines with the address " + address);
    host& added = *hosts_.emplace_back(std::make_unique<host>(network_, address, options, std::move(runs)));
    added.start();
    return added;
}

void simulation::run_until(const std::function<bool()>& done, duration at_most) {
    const time_point end = world_.now() + at_most;
    while (!done()) {
        if (step(end)) continue;
        world_.fail(
            next_event() == time_point::max() ? "deadlock: all machines wait, and nothing can happen any more"
                                              : "what was waited for has not come in time");
    }
}

void simulation::run_for(duration time) {
    const time_point end = world_.now() + time;
    while (world_.now() < end && step(end)) {
    }
    if (world_.now() < end) world_.pass(end - world_.now());
}

bool simulation::step(time_point end) {
    if (steps_) world_.fail("a program lets time pass, which its test may do");
    world_.entered();
    std::vector<host*> ready;
    for (const auto& each : hosts_)
        if (each->ready()) ready.push_back(each.get());
    const std::size_t arrivals = network_.arrivals();
    const bool nothing = ready.empty() && arrivals == 0;
    if ((nothing || world_.chance(world_.knobs().silence, "silence")) && let_time_pass(end)) return true;
    if (nothing) return false;
    const auto chosen =
        world_.choose(static_cast<std::uint32_t>(ready.size() + arrivals), "what happens next");
    steps_ = true;
    if (chosen < ready.size())
        ready[chosen]->pump(1 + world_.choose(4, "how many turns"));
    else
        network_.arrive(chosen - ready.size());
    steps_ = false;
    return true;
}

bool simulation::let_time_pass(time_point end) {
    const time_point next = next_event();
    if (next <= world_.now() || next >= end) return false;
    world_.pass(next - world_.now());
    if (world_.chance(world_.knobs().oversleeps, "time passes unnoticed"))
        world_.pass(std::chrono::microseconds(world_.choose(10'000, "how many microseconds")));
    return true;
}

time_point simulation::next_event() const {
    time_point next = network_.next_arrival();
    for (const auto& each : hosts_) next = std::min(next, each->next_deadline().value_or(time_point::max()));
    return next;
}

} // namespace chainring::sim
