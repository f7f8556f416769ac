// A task that an executor runs and nobody on it awaits: that of `run`, those of `spawn`, and those that other executors wait for.
#pragma once

#include <chainring/runtime/task.hpp>

#include <exception>

namespace chainring {

struct root_tag;

class root_task : public task_owner, public list_node<root_tag> {
  public:
    const promise_base& promise() const noexcept { return *promise_; }
    // It is destroyed where it stands. Who was to hear of its end hears `why`: nobody does when the executor itself ends (nullptr),
    // as those may be gone.
    virtual void give_up(std::exception_ptr why) noexcept = 0;

  protected:
    root_task() noexcept = default; // one of the next two follows
    root_task(cancel_scope& scope, promise_base& promise) noexcept { will_start(scope, promise); }
    ~root_task() = default;

    void will_start(cancel_scope& scope, promise_base& promise) noexcept {
        promise_ = &promise;
        promise.postpone(scope);
    }
    // It runs already.
    void is_now(promise_base& promise) noexcept { promise_ = &promise; }

    // True: it has ended already.
    bool start_root(std::coroutine_handle<> frame) noexcept {
        promise_base& promise = *promise_;
        if (promise.start_postponed(frame)) return true;
        promise.wait_for_end(*this);
        return false;
    }

  private:
    promise_base* promise_ = nullptr;
};

// That of `run`, which takes its value.
template <class T> class run_task final : public root_task {
  public:
    run_task(cancel_scope& scope, std::coroutine_handle<task_promise<T>> frame) noexcept
        : root_task(scope, frame.promise())
        , frame_(frame) {}
    ~run_task() { frame_.destroy(); }

    const bool& done() const noexcept { return done_; }
    T take_value() { return frame_.promise().take_value(); }

  private:
    void resume() noexcept override { done_ = this->start_root(frame_); }
    void finished(promise_base&) noexcept override { done_ = true; }
    void give_up(std::exception_ptr) noexcept override {} // `run` returns, and destroys it
    bool replace(promise_base&, std::coroutine_handle<> by) noexcept override {
        frame_ = std::coroutine_handle<task_promise<T>>::from_address(by.address());
        this->is_now(frame_.promise());
        return true;
    }

    std::coroutine_handle<task_promise<T>> frame_;
    bool done_ = false;
};

} // namespace chainring
