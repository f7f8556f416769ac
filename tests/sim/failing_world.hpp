// Which world runs, for the lines that tell how to repeat its failure (failing_world.cpp).
#pragma once

#include <chainring/sim/world.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

namespace chainring::test {

// Set by a failure while a world runs. The test goes on to no other world then.
inline bool a_world_has_failed = false;

class running_world {
  public:
    explicit running_world(const sim::world& running) noexcept
        : before_(std::exchange(seed_, running.seed())) {}
    ~running_world() {
        // What ends a test by an exception is reported when the world is gone.
        if (std::uncaught_exceptions() == 0) seed_ = before_;
    }
    running_world(const running_world&) = delete;
    running_world& operator=(const running_world&) = delete;

    static std::optional<std::uint64_t> seed() noexcept { return seed_; }
    static void forget() noexcept { seed_.reset(); }

  private:
    static inline std::optional<std::uint64_t> seed_;
    std::optional<std::uint64_t> before_;
};

} // namespace chainring::test
