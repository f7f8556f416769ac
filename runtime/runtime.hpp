// runtime: what a program's main() makes. It runs a task to its end; SIGINT and SIGTERM shut it down.
//
//     int main() { return cr::runtime{}.run(serve({"0.0.0.0", 7000})); }
//
// It has an executor for each core. The first one runs on the thread that calls `run`, and is all that a program has which needs no
// other: the others are started, each with its thread, its ring and its pools, when one of them is first asked for, as by
// for_each_executor, and last until the runtime ends.
#pragma once

#include <chainring/runtime/cores.hpp>
#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/executor_thread.hpp>
#include <chainring/runtime/stop_signals.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace chainring {

struct runtime_options {
    executor_options executor = {}; // of each
    bool stop_on_signals = true;    // SIGINT and SIGTERM begin a graceful_shutdown of every executor
    shutdown_limits shutdown = {};
    // Executors, one thread each. Nothing: as many as the process may use cores (usable_cores). More are allowed: they take turns
    // on the cores, which is slower, and a warning is logged.
    std::optional<unsigned> threads = {};
    // The cores on which they stay, one for each (it may be the same one); then there are as many executors. Empty: the kernel
    // decides. The thread that calls `run` is on the first one meanwhile.
    std::vector<unsigned> pinned_to = {};
};

class runtime {
  public:
    // Throws std::system_error when io_uring can't be used, what() says why and what to do; std::invalid_argument for no threads, for
    // pinned_to of another length than `threads`, and for a core that this thread may not use.
    explicit runtime(const runtime_options& options = {}, kernel& behind = linux_kernel());
    // Tasks that nobody awaits (spawn) are destroyed where they stand, on the first executor; on the others they are cancelled
    // first, and destroyed at the hard deadline. Then the threads end, then the executors. Until then posts to any of them are
    // safe: what is posted to one that has ended runs here, in the end. On the thread of `run`.
    ~runtime();
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;

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
        std::optional<pinned_thread> pinned;
        if (!options_.pinned_to.empty()) pinned.emplace(options_.pinned_to.front());
        std::optional<stop_signals> signals;
        if (options_.stop_on_signals)
            signals.emplace(executor_, options_.shutdown, [this] { shut_down_the_others(); });
        return executor_.run(std::move(root));
    }

    // As SIGTERM does. From any thread.
    void begin_shutdown();

    // The first executor.
    executor& home() noexcept { return executor_; }
    unsigned size() const noexcept { return size_; } // of executors
    // Starts all but the first, if they have not been started. From any thread. Throws std::out_of_range, and std::system_error when
    // there is no thread or no ring to be had: then none is left, and it may be tried again.
    executor& at(unsigned number);

  private:
    void start_the_others();
    void shut_down_the_others();
    void run_last_posts();

    runtime_options options_;
    unsigned size_;
    executor executor_;
    graceful_shutdown shutdown_;
    std::mutex starting_;                                  // of the next two
    std::vector<std::unique_ptr<executor_thread>> others_; // constant once they are started
    bool shutting_down_ = false;
    std::atomic<bool> started_ = false;
    unsigned quiet_ = 0; // of the others. On the first one's thread
};

// Of the executor that runs the task which asks. Throws std::logic_error for an executor that belongs to none.
runtime& this_runtime();

} // namespace chainring
