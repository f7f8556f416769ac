// resumption_watch: hears of the order in which coroutines go on. A simulated kernel has one for each of its executors
// (kernel::watch_resumptions); on Linux nobody listens.
#pragma once

namespace chainring {

class waiter;

class resumption_watch {
  public:
    virtual ~resumption_watch() = default;
    virtual void before(const waiter& next) noexcept = 0; // is resumed
    virtual void after() noexcept = 0;                    // it has suspended again or ended
};

} // namespace chainring
