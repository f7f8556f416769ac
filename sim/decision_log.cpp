#include <chainring/sim/decision_log.hpp>

#include <charconv>
#include <cstring>
#include <istream>
#include <ostream>
#include <stdexcept>

namespace chainring::sim {

bool decision::operator==(const decision& other) const noexcept {
    return alternatives == other.alternatives && chosen == other.chosen && before == other.before &&
           std::strcmp(what, other.what) == 0;
}

std::string to_string(const decision& shown) {
    return shown.what + (", " + std::to_string(shown.chosen)) + " of " + std::to_string(shown.alternatives);
}

void write_decision(std::ostream& to, std::uint64_t number, const decision& written) {
    to << number << ": " << to_string(written) << '\n';
}

std::vector<std::uint32_t> read_choices(std::istream& log) {
    std::vector<std::uint32_t> choices;
    for (std::string line; std::getline(log, line);) {
        if (line.empty() || line.front() == ' ') continue;
        // The name of a decision may hold a comma.
        const std::size_t comma = line.rfind(", ");
        std::uint32_t chosen = 0;
        const char* const from = line.data() + (comma == std::string::npos ? 0 : comma + 2);
        const auto [end, error] = std::from_chars(from, line.data() + line.size(), chosen);
        if (comma == std::string::npos || error != std::errc() || std::strncmp(end, " of ", 4) != 0)
            throw std::invalid_argument("no line of a decision log: " + line);
        choices.push_back(chosen);
    }
    return choices;
}

} // namespace chainring::sim
