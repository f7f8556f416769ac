// runtime: what a program's main() makes. It runs a task to its end; SIGINT and SIGTERM shut it down.
//
//     int main() { return cr::runtime{}.run(serve({"0.0.0.0", 7000})); }
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/stop_signals.hpp>

#include <optional>

namespace chainring {

struct runtime_options {
    executor_options executor;
    bool stop_on_signals = true; // SIGINT and SIGTERM begin a graceful_shutdown
    shutdown_limits shutdown = {};
};

class runtime {
  public:
    // Throws std::system_error when io_uring can't be used; what() says why and what to do.
    explicit runtime(const runtime_options& options = {}, kernel& behind = linux_kernel());

    // SIGINT and SIGTERM are its own meanwhile: a handler that the program has installed is put back afterwards, a
    // signal that is ignored stays ignored, and one that every thread blocks arrives at nobody. Throws std::logic_error
    // if a signal_set or another runtime has one of them. A runtime that was shut down stays so, in the stage that it
    // has reached (graceful_shutdown.hpp): what runs in it then takes nothing new, finds every operation cancelled after the soft
    // deadline, and does not run at all after the hard one (shutdown_overdue).
    //
    // Runs `root` and returns main()'s exit status: 0, or the task's own int, or 1 after one line on standard
    // error for a task that returned an error. Having been cancelled (errc::cancelled), as by a signal, is
    // no error; shutdown_overdue is. An exception of the task is rethrown.
    int run(task<void> root);
    int run(task<int> root);
    int run(task<result<void>> root);
    int run(task<result<int>> root);

    // Runs `root` and returns what it returned, for programs that report errors in their own words. Throws
    // shutdown_overdue.
    template <class T> T block_on(task<T> root) {
        std::optional<stop_signals> signals;
        if (stop_on_signals_) signals.emplace(executor_, shutdown_);
        return executor_.run(std::move(root));
    }

    executor& home() noexcept { return executor_; }

  private:
    executor executor_;
    bool stop_on_signals_;
    shutdown_limits shutdown_;
};

} // namespace chainring
