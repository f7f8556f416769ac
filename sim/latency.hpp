// How long what is sent is on its way.
#pragma once

#include <chainring/runtime/kernel.hpp>

namespace chainring::sim {

// From `least` to `most`, drawn for each piece in microseconds. TCP keeps the order all the same.
struct latency {
    duration least{};
    duration most{};
};

} // namespace chainring::sim
