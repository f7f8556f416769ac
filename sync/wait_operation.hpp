// Waiting for something that is for all who wait: an event, the last arrival at a barrier.
#pragma once

#include <chainring/sync/queued_operation.hpp>

namespace chainring {

// Of has `passes()`: without the lock, true if there is nothing to wait for; and `enter(queued&)`: with the lock, the same, or it
// stands in the queue then.
template <class Of>
class [[nodiscard("co_await it")]] wait_operation : public queued_operation<wait_operation<Of>> {
  public:
    wait_operation(Of& of, const char* what) noexcept
        : queued_operation<wait_operation>(static_cast<monitor&>(of))
        , of_(of)
        , what_(what) {}
    wait_operation(wait_operation&&) noexcept = default;
    ~wait_operation() { this->end(); }

    bool try_at_once() noexcept { return of_.passes() && this->completes(); }
    bool start(executor& home) noexcept {
        const std::lock_guard hold(of_.lock());
        return of_.enter(*this) ? !this->completes() : this->waits(home);
    }
    void describe(task_tree& to) const override { to.waits(what_); }
    result<void> await_resume() noexcept {
        if (const fault refused = this->take_outcome()) return failure(refused);
        return {};
    }

  private:
    Of& of_;
    const char* what_;
};

} // namespace chainring
