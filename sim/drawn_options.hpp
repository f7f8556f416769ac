// Sizes of an executor at which something runs out: as much of a fault as an error is.
//
//     play.add("10.0.0.1", serve, sim::drawn_options(world));
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/sim/world.hpp>

namespace chainring::sim {

// Each is small, middling or as by default: a submission queue of two, a completion queue of eight, one buffer, a budget of one.
executor_options drawn_options(world& from);

} // namespace chainring::sim
