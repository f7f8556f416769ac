// watch: a value that changes, of which each receiver sees the latest.
//
//     cr::watch<settings> current(read_settings());
//     auto changes = current.subscribe();
//     while (auto latest = co_await changes.changed()) apply(*latest);
//
// `receive` is what takes values one after the other out of a channel, a oneshot, a broadcast; here there is one to look at, and
// what is waited for is its change.
#pragma once

#include <chainring/sync/next_operation.hpp>

#include <concepts>
#include <cstdint>

namespace chainring {

template <std::copyable T> class watch_receiver;

// The value is copied with the lock held: what is big is better shared (std::shared_ptr<const T>), and its copying must not use
// the watch. A copy that throws comes out of the call that made it, and changes nothing.
template <std::copyable T> class watch final : private monitor {
  public:
    explicit watch(T value)
        : value_(std::move(value)) {}

    // Any thread, without a wait.
    // errors: errc::closed
    result<void> set(T value) {
        const std::lock_guard hold(lock());
        if (closed_) return failure(errc::closed);
        value_ = std::move(value);
        ++version_;
        waiting_.let_all_go();
        return {};
    }
    T get() {
        const std::lock_guard hold(lock());
        return value_;
    }
    // It changes no more: receivers end with errc::closed when they have seen the last value. Any thread.
    void close() noexcept {
        const std::lock_guard hold(lock());
        closed_ = true;
        waiting_.let_all_go();
    }
    // Has seen the value that there is now. Any thread.
    watch_receiver<T> subscribe() noexcept {
        const std::lock_guard hold(lock());
        return {*this, version_};
    }

  private:
    friend watch_receiver<T>;

    T value_;
    std::uint64_t version_ = 0;
    bool closed_ = false;
    wait_queue<> waiting_{*this, "watch"};
};

// For one task at a time. The watch must outlive it.
template <std::copyable T> class watch_receiver final {
  public:
    // completes when: the value is another one than it has seen last; at once if it is
    // value:          the latest; those between the two are not seen
    // errors:         errc::closed; errc::cancelled
    // cancellation:   at once; the value is still to be seen
    // ownership:      of a copy; the receiver must outlive it
    // thread:         any executor's; the task goes on on its own
    next_operation<watch_receiver> changed() noexcept { return {*this, *from_, "watch"}; }

  private:
    friend watch<T>;
    friend next_operation<watch_receiver>;

    watch_receiver(watch<T>& from, std::uint64_t seen) noexcept
        : from_(&from)
        , seen_(seen) {}

    bool has_next() const noexcept { return seen_ != from_->version_ || from_->closed_; }
    void stand_in_line(queued& waiting) noexcept { from_->waiting_.push_back(waiting); }
    result<T> take_next() {
        if (seen_ == from_->version_) return failure(errc::closed);
        result<T> copy(from_->value_);
        seen_ = from_->version_;
        return copy;
    }

    watch<T>* from_;
    std::uint64_t seen_;
};

} // namespace chainring
