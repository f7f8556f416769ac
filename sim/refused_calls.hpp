// Which calls of Linux mean what a simulated world has none of: real time, sockets, threads and processes.
#pragma once

#include <cstdint>
#include <string>

namespace chainring::sim {

struct system_call {
    long number;
    std::uint64_t arguments[6];

    template <class T> T* pointer(int at) const { return reinterpret_cast<T*>(arguments[at]); }
};

// What is wrong with it, by its name; empty: it passes. For x86-64; elsewhere all pass.
std::string refusal_of(const system_call& made);

} // namespace chainring::sim
