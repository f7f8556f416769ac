// The messages that wait on one connection, and the batch that is with the kernel.
//
// At most one batch is in flight: unlinked sends on a socket that is full go out in reverse order. All that
// was queued in a turn forms the next batch: one vectored send, or a linked chain of them when one is not
// enough; its senders are resumed when the whole of it is complete, in order, each with its own result. A send
// that falls short ends the stream: it never goes on with a hole.
#pragma once

#include <chainring/net/message.hpp>
#include <chainring/runtime/statistics.hpp>
#include <chainring/runtime/submission_memory.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <vector>

namespace chainring {

// What goes into one SQE: a plain send for one piece of memory, a vectored one for several.
struct send_part {
    byte_span single;
    const msghdr* several = nullptr; // lives until the SQE is submitted
    std::uint32_t vectors = 0;
    std::uint32_t bytes = 0;
};

class send_queue {
  public:
    explicit send_queue(statistics& counters) noexcept
        : counters_(counters) {}

    bool idle() const noexcept { return messages_.empty(); }
    // The stream's sending side has ended, and why; nothing can be queued.
    bool failed() const noexcept { return static_cast<bool>(failure_); }
    fault failure() const noexcept { return failure_; }
    // It failed because a message was cancelled of which a part is on the wire.
    bool cut_off() const noexcept { return cut_off_; }
    // What became of a buffered datagram that was not sent, of the first one since it was asked.
    fault take_loss() noexcept { return std::exchange(loss_, {}); }

    void push(outgoing_message& message) noexcept {
        messages_.push_back(message);
        accepted(message.unsent());
    }
    // Joins a message of a stream to the last one, if that has room and is not with the kernel: where its bytes
    // are to be written, or nullptr.
    std::byte* join_last(std::size_t size) noexcept {
        if (messages_.empty()) return nullptr;
        outgoing_message& last = messages_.back();
        if (last.room_ < size || last.in_batch_) return nullptr;
        const byte_span before = last.bytes();
        last.size_ += size;
        last.room_ = static_cast<std::uint16_t>(last.room_ - size);
        ++last.messages_;
        accepted(size);
        return const_cast<std::byte*>(before.data()) + before.size();
    }
    // What is accounted for as queued is what the queue holds.
    bool consistent() const noexcept;
    // What waits, the batch included.
    std::uint32_t messages() const noexcept { return count_; }
    std::size_t unsent() const noexcept { return unsent_; } // in bytes

    bool wants_batch() const noexcept { return batched_ == 0 && !messages_.empty(); }
    // A batch would begin with bytes, or with an empty datagram.
    bool wants_room() noexcept {
        if (!wants_batch()) return false;
        const outgoing_message& first = messages_.front();
        return first.unsent() != 0 || (chained_ && !first.is_marker());
    }
    // The first datagram is for somebody else than the peer.
    bool begins_with_an_address() noexcept {
        return !messages_.empty() && messages_.front().destination() != nullptr;
    }
    // Takes what is queued into the batch, as far as the room for its parts goes, and returns how many there
    // are. Messages without bytes keep their place; a batch of nothing else has no parts, and
    // `completed(0, 0)` is due.
    enum class parts : bool { filled, one_a_message };
    unsigned
    form_batch(submission_memory& memory, std::span<send_part> room, parts are = parts::filled) noexcept;
    // The common case, in few instructions: one message in one piece is all that waits. Returns its bytes, or
    // nothing, and `form_batch` is due.
    byte_span form_simple_batch() noexcept {
        outgoing_message& only = messages_.front();
        if (!messages_.single() || !only.in_one_piece() || only.unsent() - 1 >= most_bytes) return {};
        return batch_of(only, only.unsent());
    }
    // From how many bytes on a message that owns them is sent without a copy, in a batch of its own.
    static constexpr std::uint32_t never = ~std::uint32_t{0};
    void set_zero_copy(std::uint32_t from) noexcept { zero_copy_from_ = from; }
    bool zero_copies() const noexcept { return zero_copy_from_ != never; }
    // Such a batch, of as much of the first message as a send may carry, or nothing.
    byte_span form_zero_copy_batch() noexcept;
    // The owner of the first message's bytes, once; then nullptr.
    std::shared_ptr<const void> first_given_up();
    // The first message lives from bytes that it has given up.
    bool first_is_given_up() noexcept { return !messages_.empty() && messages_.front().given_up_; }

    // The first message brings descriptors, which the kernel attaches to what it is sent with: such a message is a batch of
    // its own, as far as a send may carry it. Of a stream.
    bool brings_descriptors() noexcept { return messages_.front().brings_descriptors(); }
    const msghdr* form_batch_with_descriptors(submission_memory& memory);
    // A message for sendmsg.
    static const msghdr* header_of(outgoing_message& message, submission_memory& memory);

    std::uint32_t messages_in_batch() const noexcept { return messages_in_batch_; }

    // The batch's CQE, of its part `part`, says that all of it was sent.
    bool is_all(unsigned part, int result) const noexcept {
        return part + 1U == part_count_ && result >= 0 && static_cast<std::uint32_t>(result) == last_part_;
    }
    void completed_whole() noexcept {
        const std::uint32_t sent = last_part_;
        outgoing_message& first = messages_.front();
        if (batched_ != 1 || first.unsent() != sent) [[unlikely]] {
            completed(part_count_ - 1U, static_cast<int>(sent));
            return;
        }
        advance(first, sent);
        batched_ = 0;
        settle(first, {});
    }
    // The batch's CQE: which part it is of, and its result. The parts before it were sent. An error fails the queue,
    // which settles what it still holds. A short result, and -ECANCELED, stop the batch: what is still wanted stays, to
    // go on exactly where that ended.
    void completed(unsigned part, int result) noexcept;

    // The same for a socket that carries messages, whose batch is a linked chain of one SQE for each. Takes
    // what is queued, up to the room given, and returns how many messages are for the wire; none: only markers,
    // and `chain_completed(0, 0)` is due.
    unsigned form_chain(std::span<outgoing_message*> room) noexcept;
    // The chain's CQE: the place of the member that it is of, and its result. Members before it were sent. An
    // error that is the member's own leaves the others to the next batch; any other fails the queue.
    void chain_completed(unsigned member, int result, framing carries) noexcept;

    // An error of the descriptors that a message was to bring: one is closed, or they are too many. Nothing was sent.
    static bool is_of_descriptors(int result) noexcept {
        return result == -EBADF || result == -ETOOMANYREFS || result == -EINVAL;
    }

    // Settles everything that is not in the batch. Nothing can be queued from now on, because of `cause`.
    void fail_queued(fault error, fault cause) noexcept;

    // Settles the messages outside the batch that somebody waits for. False: no other is left.
    bool settle_awaited(fault error) noexcept;

    // Of what is not with the kernel, that of which nobody else hears: buffered messages, and one of which a part was sent.
    // Calls visit(message, its bytes that were not sent), in order.
    template <class Visitor> void for_each_unheard(Visitor&& visit) {
        messages_.for_each([&visit](outgoing_message& message) {
            if (!message.is_marker() && (message.is_buffered() || message.sent_ != 0))
                visit(message, unsent_bytes_of(message));
        });
    }

    // The sender no longer wants it. Nothing of it is on the wire: it is settled as cancelled. A part: the
    // stream is broken. False: it is in the batch, whose end the caller must ask for; `completed` settles it.
    bool cancel(outgoing_message& message) noexcept;

    // True: nothing of the message was with the kernel; it has left the queue, unsettled.
    bool withdraw(outgoing_message& message) noexcept;
    // The batch does not need the message's sender: its bytes have been given up.
    static bool goes_without(const outgoing_message& message) noexcept {
        return message.in_batch_ && message.given_up_;
    }

    // `replacement` takes the place of a message whose sender dies; the bytes must stay where they are.
    static void replace(outgoing_message& message, outgoing_message& replacement) noexcept;

  private:
    static std::vector<std::byte> unsent_bytes_of(const outgoing_message& message);
    using list = intrusive_list<outgoing_message, message_tag>;

    // One message in several pieces.
    static msghdr* gather(byte_spans pieces, submission_memory& memory);
    static void add_control(msghdr& header, outgoing_message& message) noexcept;

    // Its senders wait for all of it.
    static constexpr std::size_t most_bytes = std::size_t{128} * 1024; // of a part
    static constexpr std::size_t most_vectors = 1024;                  // of a part: IOV_MAX

    // Cuts the unsent bytes of the messages given to it, one after another, into parts. Always the same ones.
    class cutter;

    // The batch is this many bytes of one message. Returns them.
    byte_span batch_of(outgoing_message& message, std::size_t size) noexcept {
        message.in_batch_ = true;
        batched_ = 1;
        messages_in_batch_ = message.messages_;
        part_count_ = 1;
        last_part_ = static_cast<std::uint32_t>(size);
        return message.bytes().subspan(message.sent_, size);
    }
    void fill_vectors(submission_memory& memory, std::span<send_part> all) noexcept;
    std::size_t bytes_before(unsigned part) noexcept;
    bool for_zero_copy(const outgoing_message& message) const noexcept {
        return message.owned_ && message.unsent() >= zero_copy_from_;
    }
    void accepted(std::size_t bytes) noexcept {
        ++count_;
        unsent_ += bytes;
        ++counters_.messages_accepted;
        counters_.bytes_accepted += bytes;
    }
    void advance(outgoing_message& message, std::size_t bytes) noexcept {
        message.sent_ += bytes;
        unsent_ -= bytes;
        counters_.bytes_sent += bytes;
    }
    void take_out(outgoing_message& message) noexcept {
        message.unlink();
        count_ -= message.messages_;
        unsent_ -= message.unsent();
        counters_.messages_settled += message.messages_;
        counters_.bytes_failed += message.unsent();
    }
    void settle(outgoing_message& message, fault error) noexcept {
        counters_.early_results += !error && message.unsent() != 0 ? 1 : 0;
        take_out(message);
        message.settled(error);
    }

    statistics& counters_;
    list messages_;                       // those of the batch first
    std::uint32_t batched_ = 0;           // how many they are
    std::uint32_t messages_in_batch_ = 0; // with those that were joined
    std::uint32_t last_part_ = 0;         // bytes of the batch's last part
    std::uint8_t part_count_ = 0;
    parts parts_are_ = parts::filled;
    bool chained_ = false; // the batch has a member for each message
    bool cut_off_ = false;
    std::uint32_t count_ = 0;
    fault loss_;
    std::size_t unsent_ = 0;
    fault failure_;
    std::uint32_t zero_copy_from_ = never; // bytes
};

} // namespace chainring
