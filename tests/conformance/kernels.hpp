// The two kernels that perform scripts.
#pragma once

#include "stage.hpp"

#include <chainring/sim/simulated_kernel.hpp>

#include <string>

namespace chainring::test::conformance {

// Linux itself, once for many scripts. Throws std::system_error where there is no io_uring.
class real_stage final : public stage {
  public:
    explicit real_stage(task_work_mode mode)
        : stage(linux_kernel(), mode) {}

  private:
    connected_ends connect_ends(transport over) override;
};

// In the world of a seed. Seed 0 has no faults, the others have those that a program does not hear of.
std::string perform_simulated(const script& performed, std::uint64_t seed);

// Looks for a world in which the outcome is `wanted`, among those that agree with it as far as they have come: so many for
// each number of faults.
bool can_be(const script& performed, const std::string& wanted, std::uint64_t runs);

} // namespace chainring::test::conformance
