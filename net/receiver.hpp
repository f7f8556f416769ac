// The receiving half of a connection: one multishot receive, armed when a task first waits for data, re-armed
// when it has ended and a task waits again, stopped when the queue of what nobody took is full. In a shortage of
// blocks it is a receive of one block each time.
#pragma once

#include <chainring/net/message.hpp>
#include <chainring/net/receive_queue.hpp>
#include <chainring/net/socket.hpp>

namespace chainring {

class receiver final : private completion, private starved_receiver {
  public:
    // Who waits for the next bytes, until it leaves. One at a time.
    class reader : public waiter {
      protected:
        explicit reader(receiver* from) noexcept
            : from_(from) {}
        reader(reader&& other) noexcept
            : waiter(std::move(other))
            , from_(other.from_) {}
        ~reader() {
            if (from_ != nullptr) from_->leave(*this);
        }

        // The operation that received straight into the reader's memory has ended.
        virtual void received_directly(int) noexcept {}
        // It has ended without anything, and begins anew.
        virtual void receive_again() noexcept {}

        receiver* from_; // nullptr: closed, or no longer needed
        fault error_;

      private:
        friend receiver;
    };

    receiver(socket& of, framing carries) noexcept
        : socket_(of)
        , framing_(carries) {}

    executor& home() const noexcept { return socket_.home(); }
    std::string socket_name() const { return socket_.name(); }

    // Of a new connection: what was received elsewhere.
    void begin_with(const receive_queue& received) noexcept { received_ = received; }

    // Until it leaves, what is there is for this reader. errors: errc::closed; errc::busy for a second one
    fault admit(reader& entering) noexcept {
        if (closed_) return closed_;
        if (reader_ != nullptr) return errc::busy;
        reader_ = &entering;
        told_ = received_.has_news();
        return {};
    }
    // For the reader who was admitted: there is something to take.
    bool may_take() const noexcept { return told_; }
    // Of that reader: there is more for it all the time, and others go first now and then. It is resumed after them.
    bool lets_others_go_first(reader& taking) noexcept {
        if (++in_a_row_ < most_in_a_row) [[likely]]
            return false;
        in_a_row_ = 0;
        home().ready().push(taking);
        return true;
    }
    // There is something for a reader, who waits for buffers at most.
    bool has_arrived() const noexcept;
    // Who wants nothing of a stream need not wait for it.
    bool gives_nothing_to(std::span<std::byte> target) const noexcept {
        return target.empty() && framing_ == framing::bytes && !closed_;
    }
    bool armed() const noexcept { return armed_; }
    // A receive has gone ahead of its readers, and may do so now: without descriptors, which the kernel closes then.
    bool went_ahead() const noexcept { return went_ahead_; }

    // The reader is resumed when there is something to take.
    void wait() noexcept {
        in_a_row_ = 0;
        if (armed_ ? after_a_burst_ : !starved_receiver::linked()) socket_.ask_for_turn_end();
    }
    // The same, straight into memory that must stay until the operation has ended. Nothing is armed.
    void wait_directly(std::span<std::byte> target) noexcept;
    void wait_directly(msghdr& target) noexcept; // for descriptors too

    // The reader's turn: data, the end of the stream, or an error.
    result<buffer> take(reader& taking) noexcept {
        leave(taking);
        return received_.take(home().buffers());
    }
    result<std::size_t> take_into(reader& taking, std::span<std::byte> target) noexcept {
        leave(taking);
        if (framing_ != framing::bytes) return received_.take_message_into(home().buffers(), target);
        return received_.take_into(home().buffers(), target);
    }
    // The reader is resumed with this error; what arrives from now on is for the next one. The connection may
    // be gone when it runs.
    void dismiss(reader& waiting, fault error) noexcept {
        leave(waiting);
        waiting.from_ = nullptr;
        waiting.error_ = error;
        home().ready().push(waiting);
    }
    // Data that was received for a reader who left stays in the queue.
    void leave(reader& leaving) noexcept {
        if (reader_ != &leaving) return;
        reader_ = nullptr;
        told_ = false;
        again_ = false;
    }

    // For the reader who waits directly.
    void cancel() noexcept {
        if (again_)
            dismiss(*reader_, errc::cancelled);
        else
            home().request_cancel(operation_);
    }
    void cancel_and_wait() noexcept { home().cancel_and_wait(operation_); }

    // The turn's coroutines have run: arms or stops the receive.
    void at_turn_end() noexcept {
        if (again_) [[unlikely]]
            reader_->receive_again();
        else if (wants_data() ? !armed_ || after_a_burst_ : received_.full())
            adjust();
    }

    // The connection closes: nothing can be received any more, because of `why`.
    void close(fault why) noexcept;
    // The same to readers, but what has arrived, and what still does, is kept for take_all.
    void stop(fault why) noexcept;
    std::vector<buffer> take_all();
    // After `close`: there is data that nobody took, or has been since.
    bool peer_still_sends() const noexcept;
    // After `close`: throws away what arrives, to the peer's end.
    void discard() noexcept {
        discarding_ = true;
        socket_.ask_for_turn_end();
    }
    bool peer_ended() const noexcept { return peer_ended_; }
    void count(holdings& total) const noexcept { total.blocks += received_.blocks(); }

  private:
    // Blocks that a reader takes before others have their turn.
    static constexpr std::uint8_t most_in_a_row = 8;

    // The result is then the size of the whole message, also of one that was cut off. On a stream the flag
    // would throw data away.
    int flags() const noexcept { return framing_ == framing::bytes ? 0 : MSG_TRUNC; }

    bool keeps_what_comes() const noexcept { return !closed_ || kept_; }
    void dismiss_reader() noexcept;

    void complete(const io_uring_cqe& cqe) noexcept override;
    void fed() noexcept override { socket_.ask_for_turn_end(); }

    void adjust() noexcept;
    void arm() noexcept;
    void received(const io_uring_cqe& cqe) noexcept;
    void received_directly(int result) noexcept;
    void receiving_ended(int result) noexcept;
    bool reader_waits() const noexcept { return reader_ != nullptr && !told_; }
    // Not while a reader's own operation is in flight: of two receives on a socket either may get what comes first.
    bool wants_data() const noexcept {
        return !direct_ && !again_ && (reader_waits() || (discarding_ && !peer_ended_));
    }
    void tell() noexcept {
        told_ = true;
        home().ready().push(*reader_);
    }

    socket& socket_;
    reader* reader_ = nullptr;
    receive_queue received_;
    framing framing_;
    std::uint8_t in_a_row_ = 0;
    bool armed_ = false;      // a receive into the pool's blocks is in flight
    bool went_ahead_ = false; // one was, once
    bool told_ = false;       // the reader is on its way, or runs
    bool direct_ = false;     // the reader's own operation is in flight
    bool again_ = false;      // ... has ended without anything, and begins anew at the turn's end
    bool peer_ended_ = false; // or the connection is broken
    bool unwanted_ = false;   // data has been thrown away
    bool discarding_ = false; // all that still comes is
    bool kept_ = false;       // in spite of `closed_`, what comes is
    // The kernel may have been told so often meanwhile that it has lost the last of it: data, or the end of the stream. A receive that
    // is armed anew finds that.
    bool after_a_burst_ = false;
    fault closed_; // why
    operation_id operation_;
};

} // namespace chainring
