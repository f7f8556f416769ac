// broadcast: values that each receiver sees, all of them if it keeps up. Senders never wait: of the values it keeps the last so
// many, and a receiver that is slower than that hears how many it has missed.
//
//     cr::broadcast<quote> quotes(256);
//     auto mine = quotes.subscribe();
//     for (;;) {
//         auto next = co_await mine.receive();
//         if (!next && next.error() == cr::errc::lagged) { skipped(mine.missed()); continue; }
//         ...
//     }
#pragma once

#include <chainring/sync/next_operation.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

namespace chainring {

template <std::copyable T> class broadcast_receiver;

// A value is copied for each receiver, with the lock held: what is big is better shared (std::shared_ptr<const T>), and its
// copying must not use the broadcast. A copy that throws comes out of the receive, and the value is still to be received; an
// assignment that throws comes out of `send`, which has sent nothing, and the oldest value counts as missed.
template <std::copyable T> class broadcast final : private monitor {
  public:
    // Throws std::invalid_argument for zero.
    explicit broadcast(std::size_t capacity)
        : kept_(capacity) {
        if (capacity == 0) throw std::invalid_argument("a broadcast must keep a value at least");
    }

    // Any thread, without a wait.
    // errors: errc::closed
    result<void> send(T value) {
        const std::lock_guard hold(lock());
        if (closed_) return failure(errc::closed);
        const std::size_t place = sent_ % kept_.size();
        if (sent_ >= kept_.size()) oldest_ = sent_ - kept_.size() + 1;
        kept_[place] = std::move(value);
        ++sent_;
        waiting_.let_all_go();
        return {};
    }
    // Nothing more is sent: receivers end with errc::closed when they have seen all. Any thread.
    void close() noexcept {
        const std::lock_guard hold(lock());
        closed_ = true;
        waiting_.let_all_go();
    }
    // Of what is sent from now on. Any thread.
    broadcast_receiver<T> subscribe() noexcept {
        const std::lock_guard hold(lock());
        return {*this, sent_};
    }

  private:
    friend broadcast_receiver<T>;

    std::vector<std::optional<T>> kept_;
    std::uint64_t oldest_ = 0; // of those that are kept
    std::uint64_t sent_ = 0;   // values; the number of the next one
    bool closed_ = false;
    wait_queue<> waiting_{*this, "broadcast"};
};

// For one task at a time. The broadcast must outlive it.
template <std::copyable T> class broadcast_receiver final {
  public:
    // completes when: there is a value that it has not seen; at once if there is
    // errors:         errc::lagged: it has missed values, how many says `missed()`, and goes on with the oldest that is there;
    //                 errc::closed; errc::cancelled
    // cancellation:   at once; the value is still to be received
    // ownership:      of a copy; the receiver must outlive it
    // thread:         any executor's; the task goes on on its own
    next_operation<broadcast_receiver> receive() noexcept { return {*this, *from_, "broadcast"}; }
    // errors: errc::queue_empty: none yet; and those of `receive`
    result<T> try_receive() {
        const std::lock_guard hold(from_->lock());
        if (!has_next()) return failure(errc::queue_empty);
        return take_next();
    }
    // How many values it has missed when it last heard errc::lagged.
    std::uint64_t missed() const noexcept { return missed_; }

  private:
    friend broadcast<T>;
    friend next_operation<broadcast_receiver>;

    broadcast_receiver(broadcast<T>& from, std::uint64_t next) noexcept
        : from_(&from)
        , next_(next) {}

    bool has_next() const noexcept { return next_ != from_->sent_ || from_->closed_; }
    void stand_in_line(queued& waiting) noexcept { from_->waiting_.push_back(waiting); }
    result<T> take_next() {
        if (next_ < from_->oldest_) {
            missed_ = from_->oldest_ - next_;
            next_ = from_->oldest_;
            return failure(errc::lagged);
        }
        if (next_ == from_->sent_) return failure(errc::closed);
        result<T> copy(*from_->kept_[next_ % from_->kept_.size()]);
        ++next_;
        return copy;
    }

    broadcast<T>* from_;
    std::uint64_t next_;
    std::uint64_t missed_ = 0;
};

} // namespace chainring
