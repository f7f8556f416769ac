// Who handles which signal in this process: one receiver for each, be it a signal_set or a runtime's stop_signals.
// A handler and no signalfd, which would have to be blocked in every thread of the program and in its children.
#pragma once

#include <chainring/runtime/error.hpp>

#include <vector>

namespace chainring {

class signal_receiver {
  public:
    // Runs in a signal handler, on whatever thread: may only do what is allowed there.
    virtual void arrived(int signal) noexcept = 0;

  protected:
    ~signal_receiver() = default;
};

// Installs the handlers for its lifetime and then puts back what was there before.
class signal_handlers {
  public:
    // What becomes of a handler that the program has installed itself.
    enum class foreign : bool { refuse, replace };

    signal_handlers() noexcept = default;
    ~signal_handlers() { uninstall(); }
    signal_handlers(const signal_handlers&) = delete;
    signal_handlers& operator=(const signal_handlers&) = delete;

    // All of them or none; one that is named twice counts once.
    //
    // errors: errc::signal_taken; EINVAL for no signals, and for what is no signal, cannot be handled, or comes of a fault
    //         of the program
    result<void> install(const std::vector<int>& signals, signal_receiver& receiver, foreign others);

    // When it returns, no handler runs any more that knows the receiver.
    void uninstall() noexcept;

    // In a signal handler: the signal is for what handled it before, once this handler returns. The signal is given
    // up.
    static void pass_on(int signal) noexcept;

  private:
    std::vector<int> signals_;
};

} // namespace chainring
