// spawn: a task for whoever is no task itself, such as the callbacks of another loop.
//
//     cr::spawn(home, serve(std::move(peer)), [](cr::ended_task<void> end) {
//         if (!end) report(end.error());
//     });
//
// Within a task a scope is better: it joins its children.
#pragma once

#include <chainring/runtime/executor.hpp>

#include <concepts>
#include <expected>
#include <memory>

namespace chainring {

// What the task returned, or the exception that it ended with.
template <class T> using ended_task = std::expected<T, std::exception_ptr>;

namespace detail {

template <class T, class Done> class spawned_task final : public root_task, private posted_work {
  public:
    static void make(executor& home, task<T> root, Done done) {
        const auto frame = root.release();
        auto* const made = new spawned_task(home, frame, std::move(done));
        frame_pool::gone(); // to the thread that runs it
        home.post(static_cast<posted_work&>(*made));
    }

    void give_up(std::exception_ptr why) noexcept override {
        Done done = std::move(done_);
        delete this;
        if (why) done(ended_task<T>(std::unexpect, std::move(why)));
    }

  private:
    spawned_task(executor& home, std::coroutine_handle<task_promise<T>> frame, Done done)
        : root_task(home.root_scope(), frame.promise())
        , home_(home)
        , frame_(frame)
        , done_(std::move(done)) {}
    ~spawned_task() { frame_.destroy(); }

    void run() noexcept override {
        frame_pool::came();
        home_.add(*this);
        home_.ready().push(*this); // for its share of the turn's budget
    }
    void resume() noexcept override {
        if (start_root(frame_)) finished(frame_.promise());
    }
    void finished(promise_base&) noexcept override {
        ended_task<T> end = outcome();
        Done done = std::move(done_);
        delete this;
        done(std::move(end));
    }
    bool replace(promise_base&, std::coroutine_handle<> by) noexcept override {
        frame_ = std::coroutine_handle<task_promise<T>>::from_address(by.address());
        this->is_now(frame_.promise());
        return true;
    }
    ended_task<T> outcome() noexcept {
        if (std::exception_ptr thrown = frame_.promise().exception())
            return std::unexpected(std::move(thrown));
        if constexpr (std::is_void_v<T>)
            return {};
        else
            return frame_.promise().take_value();
    }

    executor& home_;
    std::coroutine_handle<task_promise<T>> frame_;
    Done done_;
};

} // namespace detail

// Runs `root` on the executor, from its next turn on, and then calls `done(end)` there, which must not throw. At the hard deadline of
// a shutdown the task is destroyed where it stands, and its end is shutdown_overdue (graceful_shutdown.hpp). Where the executor's
// destruction comes before the end, it is destroyed too, and `done` is not called.
//
// cancellation:   that of the executor's root_scope()
// ownership:      of both
// thread:         the executor's, within a turn or without
template <class T, std::invocable<ended_task<T>> Done> void spawn(executor& home, task<T> root, Done done) {
    detail::spawned_task<T, Done>::make(home, std::move(root), std::move(done));
}

} // namespace chainring
