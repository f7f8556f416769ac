// oneshot: one value from whoever makes it to the task that waits for it.
//
//     cr::oneshot<int> answer;
//     group.spawn(compute(answer.take_sender()));
//     const cr::result<int> value = co_await answer.receive();
//
// Both ends live as long as they like: each hears when the other one is gone. What they share takes two allocations.
#pragma once

#include <chainring/sync/channel.hpp>

#include <memory>
#include <stdexcept>

namespace chainring {

// An end of a channel, which it closes.
struct closes_channel {
    template <class T> void operator()(channel<T>* of) const noexcept { of->close(); }
};

template <class T> class oneshot_sender;

template <class T> class oneshot final {
  public:
    oneshot()
        : shared_(std::make_shared<channel<T>>(1))
        , end_(shared_.get()) {}

    // Once; on the second time it throws std::logic_error.
    oneshot_sender<T> take_sender() {
        if (std::exchange(taken_, true)) throw std::logic_error("oneshot::take_sender called twice");
        return oneshot_sender<T>(shared_);
    }

    // completes when: the value was sent; at once if it was
    // errors:         errc::closed: the sender is gone without having sent one, or the value was received before; errc::cancelled
    // cancellation:   at once; a value that came by then is the task's
    // ownership:      the value is the caller's; the oneshot must outlive it
    // thread:         any executor's; the task goes on on its own
    receive_from_channel<T> receive() noexcept { return shared_->receive(); }
    // errors: errc::queue_empty: not yet; errc::closed
    result<T> try_receive() { return shared_->try_receive(); }

  private:
    std::shared_ptr<channel<T>> shared_;
    std::unique_ptr<channel<T>, closes_channel> end_;
    bool taken_ = false;
};

template <class T> class oneshot_sender final {
  public:
    // Any thread, once.
    // errors: errc::closed: nobody will receive it; `value` was not moved then
    result<void> send(T&& value) {
        result<void> sent = shared_->try_send(std::move(value));
        end_.reset();
        return sent;
    }
    result<void> send(const T& value)
        requires std::copy_constructible<T>
    {
        return send(T(value));
    }

  private:
    friend oneshot<T>;
    explicit oneshot_sender(std::shared_ptr<channel<T>> shared) noexcept
        : shared_(std::move(shared))
        , end_(shared_.get()) {}

    std::shared_ptr<channel<T>> shared_;
    std::unique_ptr<channel<T>, closes_channel> end_;
};

} // namespace chainring
