// Closes what the kernel has opened for an operation that nobody waits for any more: a connection that was accepted as its accept was
// cancelled, say. Such a descriptor has no owner but this, from its CQE to the end of its close.
#pragma once

#include <chainring/runtime/direct_descriptors.hpp>
#include <chainring/runtime/registered.hpp>

#include <vector>

namespace chainring {

class executor;

class disposal final : private turn_end_work {
  public:
    explicit disposal(executor& home) noexcept
        : home_(home) {}

    // May be called while completions are reaped: the close is submitted at the turn's end.
    void begin(file_handle file, direct_place&& place) noexcept;

    unsigned descriptors() const noexcept { return descriptors_; } // that are not closed yet

  private:
    class disposed_file;

    void at_turn_end() noexcept override;

    executor& home_;
    unsigned descriptors_ = 0;
    std::vector<disposed_file*> to_close_;
};

} // namespace chainring
