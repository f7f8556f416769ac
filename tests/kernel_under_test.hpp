// The kernel that tests run on: Linux, or the simulated one in a world without faults if the environment says
// CHAINRING_TEST_KERNEL=simulated. What a test cannot do there, such as starting a thread, gives it the tag [linux].
#pragma once

#include <chainring/sim/simulated_kernel.hpp>

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace chainring::test {

class kernel_under_test {
  public:
    kernel_under_test() {
        const char* wanted = std::getenv("CHAINRING_TEST_KERNEL");
        if (wanted == nullptr) return;
        if (std::string_view(wanted) != "simulated")
            throw std::invalid_argument(
                std::string("CHAINRING_TEST_KERNEL may be \"simulated\", not ") + wanted);
        world_.emplace(1, sim::faults{});
        simulation_ = &kernel_.emplace(*world_);
    }
    ~kernel_under_test() { simulation_ = nullptr; }
    kernel_under_test(const kernel_under_test&) = delete;
    kernel_under_test& operator=(const kernel_under_test&) = delete;

    sim::world* world() { return world_ ? &*world_ : nullptr; } // nullptr: it is Linux
    kernel& get() { return kernel_ ? static_cast<kernel&>(*kernel_) : linux_kernel(); }

    // Of the test that runs; nullptr: it runs on Linux.
    static sim::simulated_kernel* simulation() { return simulation_; }

  private:
    std::optional<sim::world> world_;
    std::optional<sim::simulated_kernel> kernel_;

    static inline sim::simulated_kernel* simulation_ = nullptr;
};

// For tests that make their executors themselves: one for all of them.
inline kernel_under_test& shared_test_kernel() {
    static kernel_under_test instance;
    return instance;
}
inline kernel& test_kernel() {
    return shared_test_kernel().get();
}
inline sim::simulated_kernel* simulated_test_kernel() {
    return dynamic_cast<sim::simulated_kernel*>(&test_kernel()); // nullptr: it is Linux
}

} // namespace chainring::test
