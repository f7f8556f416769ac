// A coroutine of a simulated program that goes on.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>

namespace chainring::sim {

struct resumption {
    // Which of its executor's waits has ended, in the order in which they began; 0: one that had no time to be seen, such as
    // the start of a task. No address: the next run has others.
    std::uint64_t wait = 0;
    std::source_location where; // of the co_await; line 0: of a start

    bool operator==(const resumption& other) const noexcept {
        return wait == other.wait && where.line() == other.where.line();
    }
};

// "wait 7, serve at server.cpp:10".
std::string to_string(const resumption& shown);

} // namespace chainring::sim
