// What is in a channel and who waits there: all of it with the channel's lock.
//
// While a receiver waits there is no value; while a sender waits there is no room. So whoever waits is served by the other side
// at once, with the value itself.
#pragma once

#include <chainring/sync/ring_buffer.hpp>
#include <chainring/sync/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <optional>
#include <utility>

namespace chainring {

namespace detail {
void log_lost_value() noexcept;
} // namespace detail

// A value that is to be sent.
template <class T> class sent_value : public queued {
  public:
    T& value() noexcept { return value_; }

  protected:
    explicit sent_value(T&& value)
        : value_(std::move(value)) {}
    sent_value(sent_value&&) = default;
    ~sent_value() = default;

    void rethrow() {
        if (thrown_) [[unlikely]]
            std::rethrow_exception(std::exchange(thrown_, nullptr));
    }

    T value_;
    std::exception_ptr thrown_; // by the move of the value

  private:
    template <class> friend class channel_state;
};

// The place for a value that is to be received.
template <class T> class received_value : public queued {
  protected:
    received_value() noexcept = default;
    received_value(received_value&&) = default;
    ~received_value() = default;

    std::optional<T> value_;

  private:
    template <class> friend class channel_state;
};

template <class T> class channel_state {
  public:
    enum class way : std::uint8_t { open, blocked, closed };

    channel_state(monitor& of, std::size_t capacity)
        : kept_(capacity)
        , senders_(of, "channel")
        , receivers_(of, "channel") {}

    // Moves the value unless it is blocked or closed.
    way put(T& value) {
        if (closed_) return way::closed;
        if (!receivers_.empty()) {
            receivers_.front().value_.emplace(std::move(value));
            receivers_.pop_front().let_go({});
            return way::open;
        }
        if (kept_.full()) return way::blocked;
        kept_.push_back(std::move(value));
        return way::open;
    }

    way take(std::optional<T>& into) {
        if (!returned_.empty()) [[unlikely]] {
            into.emplace(std::move(returned_.front()));
            returned_.pop_front();
        } else if (!kept_.empty()) {
            into.emplace(std::move(kept_.front()));
            kept_.pop_front();
            admit_senders();
        } else if (!senders_.empty()) {
            into.emplace(std::move(senders_.front().value_));
            senders_.pop_front().let_go({});
        } else {
            return closed_ ? way::closed : way::blocked;
        }
        return way::open;
    }

    // After `blocked`, before the lock is let go.
    void wait_to_send(sent_value<T>& sender) noexcept { senders_.push_back(sender); }
    void wait_to_receive(received_value<T>& receiver) noexcept { receivers_.push_back(receiver); }

    // A receiver is destroyed with a value that it never saw, or could not be given: older than all that are here.
    void give_back(T& value) noexcept {
        try {
            if (!receivers_.empty()) {
                receivers_.front().value_.emplace(std::move(value));
                receivers_.pop_front().let_go({});
            } else {
                returned_.push_back(std::move(value));
            }
        } catch (...) { // nobody is left who could be told
            detail::log_lost_value();
        }
    }

    void close() noexcept {
        closed_ = true;
        receivers_.let_all_go(errc::closed);
        senders_.let_all_go(errc::closed);
    }

  private:
    void admit_senders() noexcept {
        while (!senders_.empty() && !kept_.full()) {
            sent_value<T>& next = senders_.front();
            try {
                kept_.push_back(std::move(next.value_));
            } catch (...) {
                next.thrown_ = std::current_exception();
            }
            senders_.pop_front().let_go({});
        }
    }

    detail::ring_buffer<T> kept_;
    std::list<T> returned_;
    bool closed_ = false;
    wait_queue<sent_value<T>> senders_;
    wait_queue<received_value<T>> receivers_;
};

} // namespace chainring
