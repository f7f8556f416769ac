// connection: a connected stream socket's state, which outlives the handle that users hold until the close is
// complete.
//
// Receiving is one multishot receive, armed when a task first waits for data and re-armed when it has ended.
// Sending is a queue; a batch is formed at the turn's end.
#pragma once

#include <chainring/net/receive_queue.hpp>
#include <chainring/net/send_queue.hpp>
#include <chainring/net/socket.hpp>

namespace chainring {

class connection final : public socket, private starved_receiver {
  public:
    // Who waits for the next bytes, until it leaves. One at a time.
    class reader {
      public:
        // There is news in the queue, or the connection is closing (`closed`).
        virtual void news(bool closed) noexcept = 0;
        // The operation that received straight into the reader's memory has ended; -EBADF: because of a
        // close.
        virtual void received_directly(int result) noexcept = 0;

      protected:
        ~reader() = default;
    };

    connection(executor& home, int descriptor) noexcept
        : socket(home, descriptor) {}

    receive_queue& received() noexcept { return received_; }

    // False: another reader waits already.
    bool wait(reader& waiting) noexcept;
    // The same, straight into memory that must stay until the operation has ended.
    bool wait_directly(reader& waiting, std::span<std::byte> target) noexcept;
    // Data that was received for a reader who left stays in the queue.
    void leave(reader& waiting) noexcept {
        if (reader_ != &waiting) return;
        reader_ = nullptr;
        reader_told_ = false;
    }
    bool has_reader() const noexcept { return reader_ != nullptr; }
    bool receiving() const noexcept { return in_flight(receive_); }
    void cancel_receive() noexcept { home().request_cancel(receive_); }
    void cancel_receive_and_wait() noexcept { home().cancel_and_wait(receive_); }

    // False: the sending side has ended.
    bool send(outgoing_message& message) noexcept;
    // The sender no longer wants it. What is not with the kernel is settled as cancelled at once.
    void cancel_send(outgoing_message& message) noexcept;
    // True: the message was whole in the queue and has left it.
    bool withdraw_send(outgoing_message& message) noexcept { return outgoing_.withdraw(message); }
    // The sender's memory dies. Afterwards the message is in no queue; a message sent in part ends the
    // stream.
    void abandon_send(outgoing_message& message) noexcept;

    // shutdown(2) of the sending side, or of both.
    result<void> shutdown(int how) noexcept;

    // For an outgoing connection: `connected` is called once, with a result as of connect(2).
    class connector {
      public:
        virtual void connected(int result) noexcept = 0;

      protected:
        ~connector() = default;
    };
    void connect(const endpoint& to, connector& waiting) noexcept;
    void cancel_connect() noexcept { home().request_cancel(send_); }
    void leave(connector& waiting) noexcept {
        if (connector_ == &waiting) connector_ = nullptr;
    }

  private:
    enum purposes : std::uint8_t { receive, receive_directly, send_messages, connecting };

    // A handle may outlive the executor; the close has emptied the queues.
    ~connection() override = default;

    bool in_flight(operation_id id) const noexcept { return id && home().in_flight(id); }
    void completed(const completion_event& event) noexcept override;
    void submit_pending() noexcept override;
    void closing() noexcept override;
    void cancel_in_flight() noexcept override;
    void buffers_came_home() noexcept override { ask_for_turn_end(); }

    void receive_completed(const completion_event& event) noexcept;
    void receive_ended(int result) noexcept;
    void arm_receive() noexcept;
    void send_completed(int result) noexcept;
    void send_batch_now() noexcept;
    void tell_reader(bool closed) noexcept;
    bool reader_waits() const noexcept { return reader_ != nullptr && !reader_told_; }

    receive_queue received_;
    send_queue outgoing_;
    operation_id receive_;
    operation_id send_; // the batch, or the connect before the first one
    reader* reader_ = nullptr;
    bool reader_told_ = false;
    bool receives_directly_ = false;
    connector* connector_ = nullptr;
};

} // namespace chainring
