// A coroutine in a wait_queue: how it is let go from any thread, cancelled, and destroyed.
//
// Whoever lets it go may be on another thread, at the same moment as its scope cancels it. The primitive's lock decides: what
// comes first settles it, and the other one finds it settled. So what it was granted is its result even if it was cancelled
// then; and a coroutine that is destroyed with something that it never took gives that back.
#pragma once

#include <chainring/runtime/operation.hpp>
#include <chainring/sync/wait_queue.hpp>

#include <utility>

namespace chainring {

// Entry: what is queued, with what the primitive has to know of it. The rest of an operation is its Derived's (operation.hpp),
// which calls one of `completes` and `waits` when it starts, and `end` in its destructor.
template <std::derived_from<queued> Entry = queued>
class queued_waiter : public waiter, public Entry, private posted_work {
  public:
    void refuse(fault error) noexcept { refused_ = error; }

    void cancel() noexcept final {
        const std::lock_guard lock(monitor_->lock());
        if (home_ == nullptr) return;
        if (posted_) { // which decides; the executor must not end before it has arrived
            if (!std::exchange(expected_, true)) home_->post_expected();
            return;
        }
        static_cast<queued&>(*this).unlink();
        refused_ = errc::cancelled;
        arrive();
        monitor_->left();
    }

    std::string who() const override {
        const std::source_location where = suspended_->where();
        return std::string(short_name(where.function_name())) + " at " + where.file_name() + ':' +
               std::to_string(where.line());
    }

  protected:
    template <class... Given>
    explicit queued_waiter(monitor& of, Given&&... given)
        : Entry(std::forward<Given>(given)...)
        , monitor_(&of) {}
    queued_waiter(queued_waiter&&) = default; // before it is awaited
    ~queued_waiter() { assert(home_ == nullptr && !granted_); }

    // It has what it wanted, with the lock or without. True.
    bool completes() noexcept {
        granted_ = true;
        return true;
    }
    // With the lock: it is in a queue. True.
    bool waits(executor& home) noexcept {
        home_ = &home;
        return true;
    }

    // For await_resume: none, or why it has nothing. Whatever it has is the caller's from here on.
    fault take_outcome() noexcept {
        granted_ = false;
        return refused_;
    }

    // True: it was granted what nobody has taken.
    bool end() noexcept {
        if (home_ != nullptr) [[unlikely]]
            leave();
        return std::exchange(granted_, false);
    }

  private:
    void let_go(fault refused) noexcept final {
        refused_ = refused;
        if (executor::current() == home_) {
            arrive();
            return;
        }
        // Still with the lock: it dies only when it was taken back from the inbox, or has run.
        posted_ = true;
        home_->post(static_cast<posted_work&>(*this));
    }

    void run() noexcept override {
        // When whoever posted it has left the executor's inbox: the executor may end with this coroutine.
        const std::lock_guard lock(monitor_->lock());
        arrived_here();
        arrive();
    }

    void arrived_here() noexcept {
        posted_ = false;
        if (std::exchange(expected_, false)) home_->post_arrived();
    }

    // On its executor's thread.
    void arrive() noexcept {
        granted_ = !refused_;
        std::exchange(home_, nullptr)->ready().push(*this);
    }

    void leave() noexcept {
        const std::lock_guard lock(monitor_->lock());
        if (posted_) {
            home_->withdraw(*this);
            arrived_here();
            granted_ = !refused_;
        } else {
            static_cast<queued&>(*this).unlink();
            monitor_->left();
        }
        home_ = nullptr;
    }

    monitor* monitor_;
    executor* home_ =
        nullptr; // while other threads may settle it, or have; the two below are under the lock then
    fault refused_;
    bool posted_ = false;   // settled, on its way through its executor's inbox
    bool expected_ = false; // there
    bool granted_ = false;  // what nobody has taken yet
};

} // namespace chainring
