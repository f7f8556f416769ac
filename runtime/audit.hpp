// What an executor holds, counted by walking it, against what its counters say: the two must agree.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/statistics.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace chainring {

struct holdings {
    std::uint64_t unsubmitted_sqes = 0;
    std::uint64_t operations = 0; // in flight
    std::uint64_t cancels = 0;    // requests in flight
    std::uint64_t descriptors = 0;
    std::uint64_t blocks = 0; // of the buffer pool: leased, with the kernel, free, or received and not taken
    std::uint64_t messages = 0; // in send queues
    std::uint64_t bytes = 0;    // of those, not sent
};

// A sentence for each invariant that does not hold.
std::vector<std::string>
broken_invariants(const statistics& counted, const holdings& held, std::uint32_t pool_blocks);

std::string operation_name(std::uint8_t opcode);
std::string in_seconds(duration time); // "1.5 s"
inline std::string for_time(duration since) {
    return "for " + in_seconds(since);
}

} // namespace chainring
