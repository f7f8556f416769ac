// Waiting for the next of the values that each receiver sees: those of a broadcast and of a watch.
#pragma once

#include <chainring/sync/queued_operation.hpp>

namespace chainring {

// Receiver has `source()`, whose lock and queue it uses; and with the lock `has_next()`, and `take_next()`, which copies a value.
template <class Receiver>
class [[nodiscard("co_await it")]] next_operation : public queued_operation<next_operation<Receiver>> {
  public:
    next_operation(Receiver& of, monitor& source, const char* what) noexcept
        : queued_operation<next_operation>(source)
        , of_(of)
        , source_(source)
        , what_(what) {}
    next_operation(next_operation&&) noexcept = default;
    ~next_operation() { this->end(); }

    bool try_at_once() noexcept {
        const std::lock_guard hold(source_.lock());
        return of_.has_next() && this->completes();
    }
    bool start(executor& home) noexcept {
        const std::lock_guard hold(source_.lock());
        if (of_.has_next()) return !this->completes();
        of_.stand_in_line(*this);
        return this->waits(home);
    }
    void describe(task_tree& to) const override { to.waits(what_); }
    auto await_resume() -> decltype(std::declval<Receiver&>().take_next()) {
        if (const fault refused = this->take_outcome()) return failure(refused);
        const std::lock_guard hold(source_.lock());
        return of_.take_next();
    }

  private:
    Receiver& of_;
    monitor& source_;
    const char* what_;
};

} // namespace chainring
