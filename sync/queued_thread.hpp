// A thread in a wait_queue: for those that are no executor's, and may block.
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/sync/wait_queue.hpp>

#include <condition_variable>
#include <stdexcept>
#include <utility>

namespace chainring {

template <std::derived_from<queued> Entry> class queued_thread final : public Entry {
  public:
    // Throws std::logic_error on a thread that an executor runs on now.
    template <class... Given>
    explicit queued_thread(const char* call, Given&&... given)
        : Entry(std::forward<Given>(given)...) {
        if (executor::current() != nullptr)
            throw std::logic_error(std::string(call) + " would block an executor: await it there");
    }

    // With the lock, of which it lets go meanwhile: in a queue, until it is settled.
    fault wait(std::unique_lock<short_mutex>& lock) {
        settled_here_.wait(lock, [this] { return settled_; });
        return refused_;
    }

    void let_go(fault refused) noexcept override {
        refused_ = refused;
        settled_ = true;
        settled_here_.notify_one(); // with the lock: it is gone as soon as the thread has that
    }
    std::string who() const override { return "a thread"; }

  private:
    std::condition_variable_any settled_here_;
    fault refused_;
    bool settled_ = false;
};

} // namespace chainring
