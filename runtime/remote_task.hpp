// A task that runs on another executor than the one on which it is awaited. There it is a root of its own, in a scope of its own,
// which the cancellation of its awaiter reaches. Its frame is destroyed there, and only what it has returned comes back.
#pragma once

#include <chainring/runtime/remote_work.hpp>
#include <chainring/runtime/root_task.hpp>

#include <expected>
#include <optional>
#include <sstream>

namespace chainring {

// In which a task is suspended that goes on on another executor.
class task_mover : public waiter {
  public:
    void refuse(fault error) noexcept { error_ = error; }

  protected:
    task_mover() noexcept = default;
    task_mover(task_mover&&) noexcept = default;
    ~task_mover() = default;

    fault error_;
};

// Brings a running task to the next executor.
class task_carrier {
  public:
    // On the thread of the executor on which it runs, and which it leaves; `mover` is resumed on the other one. False: it has to
    // stay.
    virtual bool carry_on(executor& to, task_mover& mover) noexcept = 0;

  protected:
    ~task_carrier() = default;
};

template <class T> class remote_task : public remote_work, private task_carrier {
    using promise_type = task_promise<T>;

  protected:
    using end_type = std::expected<T, std::exception_ptr>;

    explicit remote_task(executor& to) noexcept
        : remote_work(to) {}
    remote_task(remote_task&& other) noexcept
        : remote_work(std::move(other)) {}
    ~remote_task() = default;

    // What holds for the awaiter holds there: the nearest deadline above it, which cancels it then, and a shield.
    void runs_within(const cancel_scope& of_awaiter) noexcept {
        deadline_ = of_awaiter.deadline();
        shielded_ = of_awaiter.is_shielded();
    }

    // For a task that is on its way already; `mover` is where it is suspended.
    void carry(std::coroutine_handle<promise_type> running, task_mover& mover) noexcept {
        frame_ = running;
        mover_ = &mover;
        frame_pool::gone();
    }
    // Makes the task of one that is started there.
    virtual std::coroutine_handle<promise_type> make_there() {
        assert(false);
        return {};
    }
    // What it returned or threw; nothing: it has not ended by itself.
    std::optional<end_type> end_;

  private:
    class root final : public root_task {
      public:
        explicit root(remote_task& of) noexcept
            : of_(of) {}
        using root_task::is_now;
        using root_task::will_start;
        void resume() noexcept override {
            if (this->start_root(of_.frame_)) of_.ended();
        }
        void finished(promise_base&) noexcept override { of_.ended(); }
        void give_up(std::exception_ptr) noexcept override { of_.given_up(); }
        task_carrier* carrier() noexcept override { return &of_; }
        void leave() noexcept {
            static_cast<list_node<root_tag>&>(*this).unlink();
            static_cast<waiter&>(*this).unlink();
        }

      private:
        remote_task& of_;
    };

    void arrived(executor& there, bool asked_to_end) noexcept final {
        const bool starts = !frame_;
        if (starts && asked_to_end) return this->settle(errc::cancelled);
        if (starts && !make()) return this->settle({});
        if (shielded_)
            scope_.emplace(&there.root_scope(), cancel_scope::shielded{}, deadline_);
        else
            scope_.emplace(&there.root_scope(), deadline_);
        if (asked_to_end) scope_->cancel();
        there.add(root_);
        if (starts) {
            root_.will_start(*scope_, frame_.promise());
            there.ready().push(root_);
        } else {
            frame_pool::came();
            root_.is_now(frame_.promise());
            frame_.promise().move_to(*scope_, root_);
            there.ready().push(*std::exchange(mover_, nullptr));
        }
    }
    bool make() noexcept {
        try {
            frame_ = make_there();
            return true;
        } catch (...) {
            end_.emplace(std::unexpect, std::current_exception());
            return false;
        }
    }
    // A task that has begun goes back to where it began.
    bool refused_by(executor& there) noexcept final {
        if (mover_ != nullptr && &there != &this->home()) {
            mover_->refuse(errc::executor_ended);
            if (this->go_on_to(this->home(), [] {})) return false;
        }
        destroy_on_its_way();
        return true;
    }
    void asked_to_end_there() noexcept final { scope_->cancel(); }

    // By itself.
    void ended() noexcept {
        promise_type& promise = frame_.promise();
        if (std::exception_ptr thrown = promise.exception()) {
            end_.emplace(std::unexpect, std::move(thrown));
        } else if constexpr (std::is_void_v<T>) {
            end_.emplace();
        } else {
            end_.emplace(promise.take_value());
        }
        leave();
        frame_.destroy();
        scope_.reset();
        this->settle({});
    }
    // That executor ends.
    void given_up() noexcept {
        destroy();
        this->settle(errc::executor_ended);
    }
    bool destroy_there(errand::stack below) noexcept final {
        if (below == errand::stack::in_use && runs()) return false;
        destroy();
        return true;
    }
    void destroy_on_its_way() noexcept final {
        if (!frame_) return;
        frame_pool::came();
        std::exchange(frame_, nullptr).destroy();
    }
    void destroy() noexcept {
        leave();
        destroy_awaited_below(frame_.promise());
        std::exchange(frame_, nullptr).destroy();
        scope_.reset();
    }
    void leave() noexcept { root_.leave(); }

    // Somewhere in it.
    bool runs() const noexcept {
        if (frame_.promise().postponed()) return false;
        std::ostringstream unread;
        executor& there = scope_->home();
        task_tree tree(unread, there.now(), there.ready());
        tree.coroutine(frame_.promise().site(), *scope_);
        return tree.something_runs();
    }

    bool carry_on(executor& to, task_mover& mover) noexcept final {
        return this->go_on_to(to, [&] {
            mover_ = &mover;
            leave();
            scope_.reset();
            frame_pool::gone();
        });
    }

    root root_{*this};
    std::coroutine_handle<promise_type> frame_;
    task_mover* mover_ = nullptr; // while it is on its way
    std::optional<cancel_scope> scope_;
    time_point deadline_ = cancel_scope::no_deadline;
    bool shielded_ = false;
};

} // namespace chainring
