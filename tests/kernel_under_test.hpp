// The kernel that tests run on: Linux, or the simulated one in a world without faults if the environment says
// CHAINRING_TEST_KERNEL=simulated. What a test cannot do there, such as starting a thread, gives it the tag [linux].
#pragma once

#include <chainring/sim/simulated_kernel.hpp>

#include <cstdlib>
#include <optional>
#include <string_view>

namespace chainring::test {

class kernel_under_test {
  public:
    kernel_under_test() {
        const char* wanted = std::getenv("CHAINRING_TEST_KERNEL");
        if (wanted == nullptr || std::string_view(wanted) != "simulated") return;
        world_.emplace(1, sim::faults{});
        simulation_ = &kernel_.emplace(*world_);
    }
    ~kernel_under_test() { simulation_ = nullptr; }
    kernel_under_test(const kernel_under_test&) = delete;
    kernel_under_test& operator=(const kernel_under_test&) = delete;

    kernel& get() { return kernel_ ? static_cast<kernel&>(*kernel_) : linux_kernel(); }

    // Of the test that runs; nullptr: it runs on Linux.
    static sim::simulated_kernel* simulation() { return simulation_; }

  private:
    std::optional<sim::world> world_;
    std::optional<sim::simulated_kernel> kernel_;

    static inline sim::simulated_kernel* simulation_ = nullptr;
};

} // namespace chainring::test
