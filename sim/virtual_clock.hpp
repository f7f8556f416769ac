// The clocks of Linux within a simulated world: all of them tell virtual time, whoever reads them.
//
// To read a clock is no call that could come back: libc finds a function for it in the vDSO, a small library that Linux maps into every
// program. So these functions are replaced, in this process alone and for good, by ones that make the call, which is answered.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/refused_calls.hpp>

#include <optional>

namespace chainring::sim {

// At the first world; later ones find it done. Where /proc does not let the process write there, its clocks stay the real ones.
void read_clocks_by_calls();

// A clock has been read: what the call returns, with the time where its caller wants it. Nothing for any other call, nor for the clocks
// that count what a processor has worked.
std::optional<long> answer_of_clock(const system_call& made, time_point now) noexcept;

} // namespace chainring::sim
