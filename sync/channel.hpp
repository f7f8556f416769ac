// channel: values from many senders to many receivers, tasks on whatever executors and threads that are none's. Of the values
// that nobody has received it keeps so many, and further senders wait.
//
//     cr::channel<job> jobs(64);
//     co_await cr::try_(jobs.send(std::move(next)));
//     while (auto job = co_await jobs.receive()) work(std::move(*job));     // ends when the channel is closed and empty
//
// Values come out in the order in which they went in, and whoever waits is served in the order of asking.
//
// A value is moved into the channel and out of it, perhaps with its lock held and on the thread of the other side: its move
// constructor and its destructor must not use the channel. A move may throw: the exception comes out of the send or the receive that moved the value,
// and the value, in whatever state the move has left it, stays with its sender or is the next to be received. Only where the
// other side moved a value that waited, its sender is told, and where a task is destroyed with a value that it received and
// never saw, nobody is and the value is lost. Await such a send or receive itself: timeout, try_ and their like move it, and a move
// that throws there ends the program.
#pragma once

#include <chainring/sync/channel_state.hpp>
#include <chainring/sync/queued_operation.hpp>
#include <chainring/sync/queued_thread.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace chainring {

template <class T> class send_to_channel;
template <class T> class receive_from_channel;

template <class T> class channel final : private monitor {
    static_assert(std::is_object_v<T> && std::move_constructible<T>);

  public:
    // How many values wait for a receiver before senders do. 0: each sender waits for its receiver.
    explicit channel(std::size_t capacity)
        : state_(*this, capacity) {}

    // completes when: the value is in the channel, or with a receiver; at once if there is room and nobody waits for it
    // errors:         errc::closed; errc::cancelled; and the value is not sent: the operation has it still (`value()`)
    // cancellation:   at once; a value that was taken by then is sent
    // ownership:      of the value; the channel must outlive it
    // thread:         any executor's; the task goes on on its own
    send_to_channel<T> send(T value) { return {*this, std::move(value)}; }

    // completes when: there is a value, which nobody else gets; at once if there is one
    // errors:         errc::closed: it is closed, and all values were received; errc::cancelled
    // cancellation:   at once; a value that was given to the task by then is the task's
    // ownership:      the value is the caller's; the channel must outlive it
    // thread:         any executor's; the task goes on on its own
    receive_from_channel<T> receive() noexcept { return receive_from_channel<T>(*this); }

    // Without a wait. Any thread.
    // errors: errc::queue_full; errc::closed; `value` was not moved then
    result<void> try_send(T&& value) {
        const std::lock_guard hold(lock());
        switch (state_.put(value)) {
        case way::open: return {};
        case way::closed: return failure(errc::closed);
        default: return failure(errc::queue_full);
        }
    }
    result<void> try_send(const T& value)
        requires std::copy_constructible<T>
    {
        return try_send(T(value));
    }
    // errors: errc::queue_empty; errc::closed
    result<T> try_receive() {
        std::optional<T> taken;
        {
            const std::lock_guard hold(lock());
            const way found = state_.take(taken);
            if (found != way::open) return failure(found == way::closed ? errc::closed : errc::queue_empty);
        }
        return hand_out(taken);
    }

    // The same as `send` and `receive` for threads that are no executor's: they block. On an executor's they throw
    // std::logic_error.
    result<void> blocking_send(T value) {
        queued_thread<blocked_send> sending("channel::blocking_send", std::move(value));
        std::unique_lock hold(lock());
        const way found = state_.put(sending.value());
        if (found == way::open) return {};
        if (found == way::closed) return failure(errc::closed);
        state_.wait_to_send(sending);
        const fault refused = sending.wait(hold);
        sending.rethrow();
        if (refused) return failure(refused);
        return {};
    }
    result<T> blocking_receive() {
        queued_thread<blocked_receive> receiving("channel::blocking_receive");
        std::unique_lock hold(lock());
        const way found = state_.take(receiving.value_);
        if (found == way::closed) return failure(errc::closed);
        if (found == way::blocked) {
            state_.wait_to_receive(receiving);
            if (const fault refused = receiving.wait(hold)) return failure(refused);
        }
        return hand_out(receiving.value_);
    }

    // Nothing more is sent: senders that wait end with errc::closed, and receivers when all values were received. Any thread.
    void close() noexcept {
        const std::lock_guard hold(lock());
        state_.close();
    }

  private:
    friend send_to_channel<T>;
    friend receive_from_channel<T>;

    using way = channel_state<T>::way;

    // The last move of a received value. One that throws leaves it in the channel.
    result<T> hand_out(std::optional<T>& received) {
        try {
            return std::move(*received);
        } catch (...) {
            const std::lock_guard hold(lock());
            state_.give_back(*received);
            throw;
        }
    }

    struct blocked_send : sent_value<T> {
        using sent_value<T>::sent_value;
        using sent_value<T>::rethrow;
    };
    struct blocked_receive : received_value<T> {
        using received_value<T>::value_;
    };

    channel_state<T> state_;
};

template <class T>
class [[nodiscard("co_await it")]] send_to_channel
    : public queued_operation<send_to_channel<T>, sent_value<T>> {
  public:
    send_to_channel(channel<T>& to, T&& given)
        : queued_operation<send_to_channel, sent_value<T>>(static_cast<monitor&>(to), std::move(given))
        , to_(to) {}
    send_to_channel(send_to_channel&&) = default;
    ~send_to_channel() { this->end(); }

    // What was to be sent: it is here as long as it was not.
    T& value() noexcept { return sent_value<T>::value(); }

    bool try_at_once() noexcept {
        const std::lock_guard hold(to_.lock());
        return sends();
    }
    bool start(executor& home) noexcept {
        const std::lock_guard hold(to_.lock());
        if (sends()) return false;
        to_.state_.wait_to_send(*this);
        return this->waits(home);
    }
    void describe(task_tree& to) const override { to.waits("send to a channel"); }
    result<void> await_resume() {
        const fault refused = this->take_outcome();
        this->rethrow();
        if (refused) return failure(refused);
        return {};
    }

  private:
    // With the lock. False: it has to wait.
    bool sends() noexcept {
        using way = channel<T>::way;
        way found = way::open;
        try {
            found = to_.state_.put(this->value_);
        } catch (...) {
            this->thrown_ = std::current_exception();
        }
        if (found == way::closed) this->refuse(errc::closed);
        return found == way::open ? this->completes() : found == way::closed;
    }

    channel<T>& to_;
};

template <class T>
class [[nodiscard("co_await it")]] receive_from_channel
    : public queued_operation<receive_from_channel<T>, received_value<T>> {
  public:
    explicit receive_from_channel(channel<T>& from) noexcept
        : queued_operation<receive_from_channel, received_value<T>>(static_cast<monitor&>(from))
        , from_(from) {}
    receive_from_channel(receive_from_channel&&) = default;
    ~receive_from_channel() {
        if (this->end() && this->value_) [[unlikely]] {
            const std::lock_guard hold(from_.lock());
            from_.state_.give_back(*this->value_);
        }
    }

    bool try_at_once() noexcept {
        const std::lock_guard hold(from_.lock());
        return receives();
    }
    bool start(executor& home) noexcept {
        const std::lock_guard hold(from_.lock());
        if (receives()) return false;
        from_.state_.wait_to_receive(*this);
        return this->waits(home);
    }
    void describe(task_tree& to) const override { to.waits("receive from a channel"); }
    result<T> await_resume() {
        const fault refused = this->take_outcome();
        if (thrown_) [[unlikely]]
            std::rethrow_exception(std::exchange(thrown_, nullptr));
        if (refused) return failure(refused);
        return from_.hand_out(this->value_);
    }

  private:
    // With the lock. False: it has to wait.
    bool receives() noexcept {
        using way = channel<T>::way;
        way found = way::open;
        try {
            found = from_.state_.take(this->value_);
        } catch (...) {
            thrown_ = std::current_exception();
        }
        if (found == way::closed) this->refuse(errc::closed);
        return found == way::open ? this->completes() : found == way::closed;
    }

    channel<T>& from_;
    std::exception_ptr thrown_; // by the move of the value
};

} // namespace chainring
