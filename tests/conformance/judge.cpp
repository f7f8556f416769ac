#include "judge.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

namespace chainring::test::conformance {

namespace {

std::multiset<std::string> lines_of(const std::string& outcome) {
    std::multiset<std::string> lines;
    std::istringstream text(outcome);
    for (std::string line; std::getline(text, line);) lines.insert(line);
    return lines;
}

std::size_t difference(const std::string& one, const std::string& other) {
    const auto first = lines_of(one);
    const auto second = lines_of(other);
    std::vector<std::string> differing;
    std::ranges::set_symmetric_difference(first, second, std::back_inserter(differing));
    return differing.size();
}

std::string indented(const std::string& text) {
    std::string all;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) all += "    " + line + '\n';
    return all;
}

// Without one step, if what remains makes sense.
std::optional<script> without(const script& whole, std::size_t gone) {
    if (whole.steps[gone].what == verb::fill)
        return std::nullopt; // it would become a script about capacities
    script rest = whole;
    rest.steps.erase(rest.steps.begin() + static_cast<std::ptrdiff_t>(gone));
    for (step& each : rest.steps) {
        if (each.what != verb::cancel || each.target < gone) continue;
        if (each.target == gone) return std::nullopt;
        --each.target;
    }
    end_chains(rest);
    return rest;
}

bool is_refused(const script& tried, stage& real) {
    judge of(tried);
    for (int run = 0; run < 5; ++run)
        if (!of.allows(real.perform(tried))) return true;
    return false;
}

} // namespace

bool judge::allows(const std::string& outcome) {
    while (!seen_.contains(outcome) && next_seed_ < effort_.seeds) {
        seen_.try_emplace(perform_simulated(script_, next_seed_), next_seed_);
        ++next_seed_;
    }
    if (seen_.contains(outcome)) return true;
    ++searches_;
    if (!can_be(script_, outcome, effort_.search)) return false;
    seen_.try_emplace(outcome, next_seed_);
    return true;
}

bool judge::allows_in_some_order(const std::string& outcome) const {
    return std::ranges::any_of(seen_, [&](const auto& each) { return difference(each.first, outcome) == 0; });
}

std::string judge::explain(const std::string& refused) const {
    std::vector<std::pair<std::size_t, const std::string*>> nearest;
    for (const auto& [outcome, seed] : seen_) nearest.emplace_back(difference(outcome, refused), &outcome);
    std::ranges::sort(nearest, {}, [](const auto& each) { return each.first; });
    if (nearest.size() > 3) nearest.resize(3);
    std::string text = to_string(script_) + "\n  the real kernel:\n" + indented(refused) +
                       "  is none of the " + std::to_string(seen_.size()) + " outcomes of " +
                       std::to_string(next_seed_) + " seeds; the most alike:\n";
    for (const auto& [distance, outcome] : nearest)
        text += "  seed " + std::to_string(seen_.at(*outcome)) + ":\n" + indented(*outcome);
    return text;
}

script shrunk(script failing, stage& real) {
    for (std::size_t gone = 0; gone < failing.steps.size();) {
        const auto smaller = without(failing, gone);
        if (smaller && is_refused(*smaller, real))
            failing = *smaller;
        else
            ++gone;
    }
    return failing;
}

} // namespace chainring::test::conformance
