// The decision logs that the environment asks for: CHAINRING_SIM_LOG to write one, CHAINRING_SIM_REPLAY to choose as one says.
#pragma once

#include <chainring/sim/world.hpp>

#include <cstdint>
#include <fstream>
#include <optional>
#include <vector>

namespace chainring::sim {

// While it lives, what a world decides is written where that is asked for, in place of the log of an earlier world; "-" is standard output.
// Throws std::invalid_argument where it can't be written.
class wanted_log {
  public:
    explicit wanted_log(world& of);
    ~wanted_log() { of_.log_to(nullptr); }
    wanted_log(const wanted_log&) = delete;
    wanted_log& operator=(const wanted_log&) = delete;

  private:
    world& of_;
    std::ofstream file_;
};

// Nothing where no log is to be replayed. Throws std::invalid_argument for one that can't be read.
std::optional<std::vector<std::uint32_t>> wanted_replay();

} // namespace chainring::sim
