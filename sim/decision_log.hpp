// What a world has decided, in order: enough to run it again, and to shorten what made it fail.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace chainring::sim {

struct decision {
    const char* what;           // a literal
    std::uint32_t alternatives; // 2 at least
    std::uint32_t chosen;       // of them, from 0 on
    std::uint64_t before;       // the hash over all that had happened by then
    bool is_chance = false;     // yes or no: the first alternative is a no, the last one a yes

    bool operator==(const decision& other) const noexcept;
};

std::string to_string(const decision& shown); // "how many bytes arrive, 3 of 20"

// One line each: its number, counted from 1, and the text. Lines that begin with a space are remarks (world::remark).
void write_decision(std::ostream& to, std::uint64_t number, const decision& written);

// What was chosen, from such lines.
std::vector<std::uint32_t> read_choices(std::istream& log);

} // namespace chainring::sim
