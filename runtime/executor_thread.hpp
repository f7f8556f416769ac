// An executor of a runtime with the thread that runs it: each but the first, which runs where `run` is called.
//
//     making -> serving -> ending its tasks -> quiet -> leaving
//               |          |                   |        `leave`: its operations end, and the thread
//               |          |                   it has no task, and goes on serving the others' calls
//               |          `end_tasks`: its tasks are cancelled, and destroyed at the hard deadline
//               from here on the runtime gives it away
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/graceful_shutdown.hpp>

#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <thread>

namespace chainring {

class executor_thread {
  public:
    struct options {
        executor_options of_executor;
        shutdown_limits shutdown;
        std::optional<unsigned> core; // to which it is pinned
        unsigned number = 0;
    };

    // `quiet` is called on the thread. Throws std::system_error if there is no thread to be had.
    executor_thread(runtime& within, kernel& behind, const options& given, std::function<void()> quiet);
    ~executor_thread() { join(); }
    executor_thread(const executor_thread&) = delete;
    executor_thread& operator=(const executor_thread&) = delete;

    // Until it serves. Throws what making the executor threw; then it is not to be used.
    void wait_until_made();

    executor& home() noexcept { return *executor_; }

    // From any thread, each once.
    void begin_shutdown() noexcept { home().post(static_cast<posted_work&>(begin_)); }
    void end_tasks() noexcept { home().post(static_cast<posted_work&>(end_)); }
    void leave() noexcept { home().post(static_cast<posted_work&>(leave_)); }

    // Nobody knows it yet.
    void leave_at_once() noexcept {
        quiet_ = [] {};
        end_tasks();
        leave();
    }

    void join() noexcept {
        if (thread_.joinable()) thread_.join();
    }

  private:
    // A step of its life, taken on its own thread.
    class step final : public posted_work {
      public:
        step(executor_thread& of, void (executor_thread::*take)()) noexcept
            : of_(of)
            , take_(take) {}
        void run() noexcept override { (of_.*take_)(); }

      private:
        executor_thread& of_;
        void (executor_thread::*take_)();
    };

    void main(runtime& within, kernel& behind) noexcept;
    void serve();
    void begin() {
        if (shutdown_) shutdown_->begin();
    }
    void told_to_end() { ending_ = true; }
    void told_to_leave() { leaving_ = true; }

    options options_;
    std::function<void()> quiet_;
    std::unique_ptr<executor> executor_;
    std::exception_ptr failure_;
    std::latch made_{1};
    std::optional<graceful_shutdown> shutdown_;
    bool ending_ = false;
    bool leaving_ = false;
    step begin_{*this, &executor_thread::begin};
    step end_{*this, &executor_thread::told_to_end};
    step leave_{*this, &executor_thread::told_to_leave};
    std::thread thread_; // last: it uses the others
};

} // namespace chainring
