// SIGINT and SIGTERM cancel an executor's root scope. The first one does; a second one is for what handled the
// signal before, and so ends a program that does not stop. One that follows within a tenth of a second is a
// duplicate and changes nothing: supervisors signal a process and then its group.
#pragma once

#include <chainring/runtime/executor.hpp>

namespace chainring {

// At most one at a time in a process; a second one throws std::logic_error.
class stop_signals {
  public:
    explicit stop_signals(executor& stopped);
    ~stop_signals();
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;
};

} // namespace chainring
