// The sending half of a connection: the queue, and the operation that carries its batch. What was queued in a
// turn goes out at the turn's end.
#pragma once

#include <chainring/net/send_queue.hpp>
#include <chainring/net/socket.hpp>

namespace chainring {

class sender final : private completion {
  public:
    explicit sender(socket& of) noexcept
        : socket_(of)
        , home_(of.home()) {}

    executor& home() const noexcept { return home_; }

    // errors: errc::closed; errc::broken when the sending side has failed
    fault send(outgoing_message& message) noexcept {
        if (closed_) [[unlikely]]
            return errc::closed;
        if (queue_.failed()) [[unlikely]]
            return errc::broken;
        queue_.push(message);
        if (queue_.wants_batch()) socket_.ask_for_turn_end();
        return {};
    }
    // The sender no longer wants it. What is not with the kernel is settled as cancelled at once.
    void cancel(outgoing_message& message) noexcept;
    // True: the message was whole in the queue and has left it.
    bool withdraw(outgoing_message& message) noexcept { return queue_.withdraw(message); }
    // The sender's memory dies. Afterwards the message is in no queue; a message sent in part ends the
    // stream.
    void abandon(outgoing_message& message) noexcept;

    void cancel_batch() noexcept { home_.request_cancel(operation_); }

    // The turn's coroutines have run: what they queued becomes a batch.
    void at_turn_end() noexcept {
        if (queue_.wants_batch()) submit_batch();
    }

    // The connection closes: what is not with the kernel fails.
    void close() noexcept;

  private:
    void complete(const io_uring_cqe& cqe) noexcept override;
    void submit_batch() noexcept;
    fault cause_of_short() noexcept;

    socket& socket_;
    executor& home_;
    bool closed_ = false;
    send_queue queue_;
    operation_id operation_; // the batch
};

} // namespace chainring
