// What every awaitable of chainring does alike: it belongs to the scope of the task that awaits it, refuses
// to start in a cancelled scope, and can be cancelled and destroyed at any time.
#pragma once

#include <chainring/runtime/executor.hpp>

#include <concepts>

namespace chainring {

// Derived provides, besides `cancel` (see waiter) and `await_resume`:
//   bool start(executor&)       begins; false: the outcome is there already, and the coroutine goes on, now or later
//   void refuse(fault)          stores the outcome of an operation that was not started
// What has completed at once belongs to the operation: what it completed on may be gone when the coroutine goes on.
// Base is the kind of waiter it is, where whoever resumes it has to know more than that.
template <class Derived, std::derived_from<waiter> Base = waiter> class operation : public Base {
  public:
    bool await_ready() const noexcept { return false; }

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }

    // In a scope that need not be the caller's. True: the caller stays suspended.
    bool begin(wait_site& caller, cancel_scope& scope) {
        executor& home = scope.home();
        this->suspended_ = &caller;
        if (!begin_in(scope)) return completed_at_once(caller, home);
        caller.suspend(*this, home.now());
        return true;
    }

  protected:
    using Base::Base;
    operation() noexcept = default;
    operation(operation&&) noexcept = default;
    ~operation() = default;

    // True: the budget of the turn is used up, and the caller goes on from the ready queue.
    bool completed_at_once(wait_site& caller, executor& home) noexcept {
        if (home.ready().may_go_on()) [[likely]]
            return false;
        this->goes_last(caller, home);
        return true;
    }

  private:
    // False: it has completed.
    bool begin_in(cancel_scope& scope) {
        auto& self = static_cast<Derived&>(*this);
        if (scope.cancelled()) [[unlikely]] {
            self.refuse(errc::cancelled);
            return false;
        }
        scope.add(*this); // first: it may complete while it starts
        if (self.start(scope.home())) return true;
        static_cast<waiter&>(*this).unlink();
        return false;
    }
};

// An operation of one SQE in memory that the caller owns. Destroying it while it is in flight cancels it and
// waits for its CQE, because until then the kernel may use that memory.
template <class Derived> class ring_operation : public operation<Derived>, private completion {
  public:
    void cancel() noexcept override { home_->request_cancel(id_); }
    void describe(task_tree& to) const override { to.waits(home_->describe(id_)); }

    bool start(executor& home) {
        home_ = &home;
        id_ = home.submit(*this, [this](io_uring_sqe& sqe) { static_cast<Derived&>(*this).prepare(sqe); });
        return true;
    }

    void refuse(fault error) noexcept { refused_ = error; }

  protected:
    ring_operation() noexcept = default;
    ring_operation(ring_operation&& other) noexcept
        : operation<Derived>(std::move(other)) {}
    ~ring_operation() { assert(!id_); }

    // Every Derived calls it in its destructor: while what the kernel may still use, and what knows how to
    // dispose of the result, exists.
    void end() noexcept {
        if (!id_) return;
        home_->cancel_and_wait(id_);
        static_cast<Derived&>(*this).dispose(returned_);
        id_ = {};
    }

    // The outcome, once.
    result<int> take_outcome() noexcept {
        id_ = {};
        if (refused_) return failure(refused_);
        if (returned_ < 0) return failure(fault::from_result(returned_));
        return returned_;
    }

  private:
    void complete(const io_uring_cqe& cqe) noexcept override {
        // The notification of a zero-copy send only says that its memory is free again; the result came
        // before it.
        if ((cqe.flags & IORING_CQE_F_NOTIF) == 0) returned_ = cqe.res;
        if (is_terminal(cqe)) home_->ready().push(*this);
    }

    executor* home_ = nullptr;
    operation_id id_;
    int returned_ = 0;
    fault refused_;
};

} // namespace chainring
