// The sending half of a connection: the queue, and the operation that carries its batch. What was queued in a
// turn goes out at the turn's end.
//
// A send never waits in the kernel for a socket that is full: it takes what there is room for, and the rest goes out
// when the socket reports room again. The kernel's own wait ends in a worker thread, for each connection whose peer has
// half-closed and does not read.
#pragma once

#include <chainring/net/send_path.hpp>
#include <chainring/net/send_queue.hpp>
#include <chainring/net/socket.hpp>

#include <vector>

namespace chainring {

// When the queue of a connection is too long for a writer to go on, and when it is short enough again. What
// counts is all that was not sent, of `send` as well as of `write`.
struct send_marks {
    std::uint32_t high_bytes = 256 * 1024;
    std::uint32_t low_bytes = 128 * 1024;
    std::uint32_t high_messages = 1024;
    std::uint32_t low_messages = 512;
};

struct writer_tag;

class sender final : private completion {
  public:
    // Waits until the queue has fallen to the low-water mark. Its message is queued already, which keeps the
    // order of the calls.
    class writer : public waiter, public list_node<writer_tag> {
      protected:
        explicit writer(sender* to) noexcept
            : to_(to) {}
        writer(writer&&) = default;
        ~writer() = default;

        sender* to_; // nullptr: the stream is closed
        fault error_;

      private:
        friend sender;
    };

    sender(socket& of, framing carries) noexcept;
    ~sender();

    executor& home() const noexcept { return socket_.home(); }
    std::string socket_name() const { return socket_.name(); }

    // errors: errc::closed; errc::broken when the sending side has failed
    fault send(outgoing_message& message) noexcept {
        if (state_ != state::open || queue_.failed()) [[unlikely]]
            return state_ == state::open ? fault(errc::broken) : why_closed();
        if (message.size() == 0 && !message.is_marker() &&
            (framing_ == framing::records || message.brings_descriptors())) [[unlikely]]
            return errc::empty_message;
        queue_.push(message);
        if (queue_.wants_batch()) socket_.ask_for_turn_end();
        return {};
    }
    // A buffered message: nobody waits for it, and its failure is the connection's.
    fault refuses_write(std::size_t size) const noexcept {
        if (state_ != state::open && !queue_.cut_off()) return errc::closed;
        if (framing_ == framing::records && size == 0) return errc::empty_message;
        return queue_.failure();
    }
    void write(outgoing_message& message) noexcept {
        queue_.push(message);
        if (queue_.wants_batch()) socket_.ask_for_turn_end();
    }
    // The same by joining it to the last message, where the two are one on the wire: returns where its bytes go,
    // or nullptr if that is not possible.
    std::byte* join_last(std::size_t size) noexcept {
        if (!is_stream() || state_ != state::open || queue_.failed()) return nullptr;
        if (queue_.unsent() + size > marks().high_bytes || queue_.messages() >= marks().high_messages)
            return nullptr;
        return queue_.join_last(size);
    }
    bool is_stream() const noexcept { return framing_ == framing::bytes; }
    bool above_high_water() const noexcept {
        return queue_.unsent() > marks().high_bytes || queue_.messages() > marks().high_messages;
    }
    void wait_for_room(writer& waiting) noexcept { writers_.push_back(waiting); }
    void stop_waiting(writer& waiting) noexcept {
        waiting.list_node<writer_tag>::unlink();
        home().ready().push(waiting);
    }
    // This side has ended; the queue is empty, and stays so.
    void end() noexcept { state_ = state::ended; }
    bool has_ended() const noexcept { return state_ == state::ended; }
    void set_marks(const send_marks& marks);
    // Of datagrams that wait for room at their receiver: also to others than the peer.
    void set_sends_to_anybody() noexcept { sends_to_anybody_ = true; }
    // Of a stream. From how many bytes on; 0: never.
    void set_zero_copy(std::size_t from) noexcept;

    // How batches of several messages are sent from now on.
    // errors: std::errc::operation_not_supported, where messages have boundaries, and without bundles that are right
    fault set_path(send_path path);

    // Why nothing can be sent any more.
    fault failure() const noexcept { return queue_.failure(); }
    // The first failure of a datagram that nobody waited for, since it was last told.
    fault take_loss() noexcept { return queue_.take_loss(); }
    std::size_t unsent() const noexcept { return queue_.unsent(); } // in bytes
    bool idle() const noexcept { return queue_.idle(); }
    // Of a connection that is not open any more: a message that was cut off ended it, or its user.
    fault why_closed() const noexcept { return queue_.cut_off() ? errc::broken : errc::closed; }
    void count(holdings& total) const noexcept {
        total.messages += queue_.messages();
        total.bytes += queue_.unsent();
    }
    bool consistent() const noexcept { return queue_.consistent(); }
    bool has_sent() const noexcept { return has_sent_; }
    // Whoever had the connection before may have.
    void has_sent_before() noexcept { has_sent_ = true; }

    // The sender no longer wants it. What is not with the kernel is settled as cancelled at once.
    void cancel(outgoing_message& message) noexcept;
    // True: the message was whole in the queue and has left it.
    bool withdraw(outgoing_message& message) noexcept { return queue_.withdraw(message); }
    // The sender's memory dies. Afterwards the message is in no queue; a message sent in part ends the
    // stream.
    void abandon(outgoing_message& message) noexcept;

    void cancel_in_flight() noexcept;

    // The turn's coroutines have run: what they queued becomes a batch.
    void at_turn_end() noexcept {
        if (queue_.cut_off()) [[unlikely]] {
            // The peer is not to wait for the rest. Not by a reset: what was sent before would be lost.
            socket_.close_gracefully(socket::last_messages::buffered, std::chrono::seconds(5));
            return;
        }
        if (room_ != nullptr && !may_send()) [[unlikely]]
            return;
        if (!queue_.wants_batch()) return;
        if (is_stream()) [[likely]]
            submit_batch();
        else
            submit_chain();
    }

    // Nothing can be queued any more. What was written is still sent; what somebody waits for too, if asked to,
    // or else fails unless it is with the kernel.
    void drain(bool awaited_too) noexcept;
    bool drained() const noexcept { return queue_.idle() || queue_.failed() || state_ == state::closed; }

    // Of a sender that drains, when nothing is with the kernel: what nobody else hears of. That is what was written, and the
    // rest of a message of which a part is on the wire; whoever waits is told that this side has closed.
    template <class Visitor> void hand_over_unsent(Visitor&& visit) {
        queue_.for_each_unheard(std::forward<Visitor>(visit));
        close();
    }

    // The connection closes: what is not with the kernel fails.
    void close() noexcept;
    // Nothing of it is with the kernel any more.
    void let_go() noexcept;

  private:
    enum class state : std::uint8_t { open, ended, draining, closed };

    static constexpr send_marks default_marks{};
    // Of one batch of a stream: half a megabyte. Its senders wait for all of it.
    static constexpr unsigned most_parts = 4;

    class zero_copy_send;
    class bundled_send;
    struct seldom_used;
    class room_watch;

    void complete(const io_uring_cqe& cqe) noexcept override;
    void submit_batch() noexcept;
    void submit_with_descriptors() noexcept;
    bool submit_zero_copy() noexcept;
    void submit_parts() noexcept;
    void submit_parts(std::span<send_part> room, send_queue::parts are) noexcept;
    bool submit_bundle(const send_part& part) noexcept;
    void submit_chain() noexcept;
    void count_batch(std::uint32_t messages) noexcept;
    void completed(unsigned member, int result) noexcept;
    void cancel_batch() noexcept { home().request_cancel(operation_, members_); }
    void became_full();
    bool may_send() noexcept;
    int zero_copy_result(int result) noexcept;
    void release_given_up() noexcept;
    seldom_used& options();
    const send_marks& own_marks() const noexcept;
    const send_marks& marks() const noexcept { return options_ == nullptr ? default_marks : own_marks(); }
    bool below_low_water() const noexcept {
        return queue_.unsent() <= marks().low_bytes && queue_.messages() <= marks().low_messages;
    }
    void release_writers(fault error) noexcept;

    socket& socket_;
    state state_ = state::open;
    framing framing_;
    std::uint8_t members_ = 1; // SQEs of the batch
    bool has_sent_ = false;
    bool sends_to_anybody_ = false;
    bool zero_copy_ = false; // the batch is sent without a copy
    send_path path_ = send_path::gathered;
    send_queue queue_;
    operation_id operation_; // the batch
    intrusive_list<writer, writer_tag> writers_;
    std::unique_ptr<room_watch> room_;     // once the socket was full
    std::unique_ptr<seldom_used> options_; // once one was asked for: an idle connection is small
};

} // namespace chainring
