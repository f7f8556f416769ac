// Tells the process that has made an object from one that was forked from it. A fork takes the memory along, but neither the
// threads nor a ring of its own: what the child did to an executor would happen to its parent's.
//
// fork(3) of the C library is seen, not _Fork and clone(2). vfork and posix_spawn make no copy, and do no harm.
#pragma once

#include <atomic>
#include <cstdint>

namespace chainring {

class fork_guard {
  public:
    fork_guard();

    bool in_child() const noexcept { return made_in_ != generation_.load(std::memory_order_relaxed); }
    // Ends the process with a text, also from a signal handler.
    [[noreturn]] static void end_child() noexcept;

    static const char* text() noexcept; // what is wrong, and what to do

  private:
    static constinit std::atomic<std::uint32_t> generation_; // of processes, each forked from the one before
    std::uint32_t made_in_;
};

} // namespace chainring
