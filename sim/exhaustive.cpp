#include <chainring/sim/exhaustive.hpp>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

namespace chainring::sim {

namespace {

bool is_fault(const decision& made) noexcept {
    return made.is_chance && made.chosen != 0;
}

} // namespace

exploration::exploration(const exploration_limits& limits)
    : limits_(limits) {
    std::optional<std::vector<std::uint32_t>> replay = wanted_replay();
    replaying_ = replay.has_value();
    if (replaying_) choices_ = std::move(*replay);
}

void exploration::check_repeated(const std::vector<decision>& made) const {
    for (std::size_t at = 0; at < expected_.size(); ++at) {
        decision expected = expected_[at];
        expected.chosen = choices_[at];
        if (at < made.size() && made[at] == expected) continue;
        throw std::logic_error(
            "the program is not repeatable: decision " + std::to_string(at + 1) + " was (" +
            to_string(expected) + "), and then " +
            (at < made.size() ? '(' + to_string(made[at]) + ')' : std::string("there was none")));
    }
}

std::uint32_t exploration::after(const decision& made, unsigned faults_before) {
    const std::uint32_t last = made.alternatives - 1;
    if (made.chosen == last) return 0;
    if (made.is_chance) return faults_before < limits_.faults ? last : 0;
    if (made.alternatives <= limits_.alternatives) return made.chosen + 1;
    thinned_ = true;
    return made.chosen + 2 < limits_.alternatives ? made.chosen + 1 : last;
}

bool exploration::advance(const std::vector<decision>& made) {
    ++runs_;
    if (replaying_) return false;
    check_repeated(made);
    auto faults = static_cast<unsigned>(std::ranges::count_if(made, is_fault));
    for (std::size_t at = made.size(); at-- != 0;) {
        faults -= is_fault(made[at]) ? 1 : 0;
        const std::uint32_t next = after(made[at], faults);
        if (next == 0) continue;
        if (runs_ >= limits_.runs) return false;
        choices_.clear();
        for (std::size_t before = 0; before < at; ++before) choices_.push_back(made[before].chosen);
        choices_.push_back(next);
        expected_.assign(made.begin(), made.begin() + static_cast<std::ptrdiff_t>(at) + 1);
        return true;
    }
    complete_ = true;
    return false;
}

} // namespace chainring::sim
