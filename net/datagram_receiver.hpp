// The receiving half of a datagram socket: one multishot recvmsg into the blocks of a pool, armed when a task first waits,
// re-armed when it has ended and a task waits again, stopped when the queue of what nobody took is full; then what comes waits in
// the socket, and what finds no room there the kernel drops and counts.
//
// Whoever has memory of its own gets a recvmsg of its own, if none is armed.
#pragma once

#include <chainring/net/receive_queue.hpp>
#include <chainring/net/received_datagram.hpp>
#include <chainring/net/socket.hpp>

namespace chainring {

// Whether descriptors may come with a datagram, and how many of them are for its receiver.
struct descriptors_allowed {
    bool come = false;
    unsigned most = 0;
};

class datagram_receiver final : private completion, private starved_receiver {
  public:
    // Who waits for the next datagram, until it leaves. One at a time.
    class reader : public waiter {
      protected:
        explicit reader(datagram_receiver* from) noexcept
            : from_(from) {}
        reader(reader&& other) noexcept
            : waiter(std::move(other))
            , from_(other.from_) {}
        ~reader() {
            if (from_ != nullptr) from_->leave(*this);
        }

        // The operation that received into the reader's memory has ended.
        virtual void received_directly(int) noexcept {}
        // It has ended without anything, and begins anew.
        virtual void receive_again() noexcept {}

        datagram_receiver* from_; // nullptr: closed, or no longer needed
        fault error_;

      private:
        friend datagram_receiver;
    };

    // The pool must be open as long as operations are in flight.
    datagram_receiver(
        socket& of, buffer_pool& pool, const datagram_layout& layout,
        descriptors_allowed descriptors) noexcept;

    executor& home() const noexcept { return socket_.home(); }
    std::string socket_name() const { return socket_.name(); }
    const datagram_layout& layout() const noexcept { return layout_; }
    unsigned most_descriptors() const noexcept { return descriptors_.most; }

    // Until it leaves, what is there is for this reader. errors: errc::closed; errc::busy for a second one
    fault admit(reader& entering) noexcept {
        if (closed_) return closed_;
        if (reader_ != nullptr) return errc::busy;
        reader_ = &entering;
        told_ = received_.has_news();
        return {};
    }
    bool may_take() const noexcept { return told_; }
    // There is something for a reader, who waits for buffers at most.
    bool has_arrived() const noexcept;
    bool armed() const noexcept { return armed_; }

    // The reader is resumed when there is something to take.
    void wait() noexcept {
        if (!armed_ && !starved_receiver::linked()) socket_.ask_for_turn_end();
    }
    // The same by an operation of its own, whose memory must stay until that has ended.
    void wait_directly(msghdr& target) noexcept;

    // The reader's turn.
    result<datagram> take(reader& taking);
    // The reader is resumed with this error; what arrives from now on is for the next one.
    void dismiss(reader& waiting, fault error) noexcept;
    void leave(reader& leaving) noexcept {
        if (reader_ != &leaving) return;
        reader_ = nullptr;
        told_ = false;
        again_ = false;
    }

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
        else if (wants_data() ? !armed_ : armed_ && received_.full())
            adjust();
    }
    // Nothing can be received any more, because of `why`.
    void close(fault why) noexcept;
    // The same to readers, but what has arrived, and what still does, is kept for take_all.
    void stop(fault why) noexcept;
    std::vector<datagram> take_all();
    // What the kernel told of a datagram that was sent, and nobody took.
    fault last_error() const noexcept { return received_.error(); }
    void count(holdings& total) const noexcept { total.blocks += received_.blocks(); }

  private:
    void complete(const io_uring_cqe& cqe) noexcept override;
    void fed() noexcept override { socket_.ask_for_turn_end(); }

    void adjust() noexcept;
    void arm() noexcept;
    void received(const io_uring_cqe& cqe) noexcept;
    void received_directly(int result) noexcept;
    void receiving_ended(int result) noexcept;
    void throw_away(std::uint16_t block, std::uint32_t size) noexcept;
    datagram datagram_of(buffer block) const;
    void dismiss_reader() noexcept;
    bool keeps_what_comes() const noexcept { return !closed_ || kept_; }
    bool reader_waits() const noexcept { return reader_ != nullptr && !told_; }
    // Not while a reader's own operation is in flight: of two receives on a socket either may get what comes first.
    bool wants_data() const noexcept { return !direct_ && !again_ && reader_waits(); }

    socket& socket_;
    buffer_pool& pool_;
    datagram_layout layout_;
    descriptors_allowed descriptors_;
    msghdr asked_{}; // for the layout
    reader* reader_ = nullptr;
    receive_queue received_;
    bool armed_ = false;  // a receive into the pool's blocks is in flight
    bool told_ = false;   // the reader is on its way, or runs
    bool direct_ = false; // the reader's own operation is in flight
    bool again_ = false;  // ... has ended without anything, and begins anew at the turn's end
    bool kept_ = false;   // in spite of `closed_`, what comes is
    fault closed_;        // why
    operation_id operation_;
};

} // namespace chainring
