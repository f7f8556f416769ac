#include <chainring/net/send_queue.hpp>

#include <algorithm>
#include <new>

namespace chainring {

class send_queue::cutter {
  public:
    cutter(std::size_t most_parts, parts are) noexcept
        : most_parts_(most_parts)
        , one_a_message_(are == parts::one_a_message) {}

    // There is room for at least a byte.
    bool has_room() const noexcept { return parts_ < most_parts_ || !part_is_full(); }
    unsigned count() const noexcept { return parts_; }

    // `take(part, bytes)` is called for each slice of the message's unsent pieces.
    template <class Take> void cut(const outgoing_message& message, Take&& take) {
        message.for_each_unsent_piece([&](byte_span piece) {
            while (!piece.empty()) {
                if (parts_ == 0 || part_is_full()) {
                    if (parts_ == most_parts_) return false;
                    ++parts_;
                    message_ended_ = false;
                    vectors_ = 0;
                    bytes_ = 0;
                }
                const byte_span slice = piece.first(std::min(piece.size(), most_bytes - bytes_));
                piece = piece.subspan(slice.size());
                ++vectors_;
                bytes_ += slice.size();
                take(parts_ - 1, slice);
            }
            return true;
        });
        message_ended_ = true;
    }

  private:
    bool part_is_full() const noexcept {
        return vectors_ == most_vectors || bytes_ == most_bytes || (one_a_message_ && message_ended_);
    }

    std::size_t most_parts_;
    bool one_a_message_;
    bool message_ended_ = false; // since the last part began
    unsigned parts_ = 0;
    std::size_t vectors_ = 0; // of the last part
    std::size_t bytes_ = 0;
};

unsigned send_queue::form_batch(submission_memory& memory, std::span<send_part> room, parts are) noexcept {
    cutter cutting(room.size(), are);
    parts_are_ = are;
    chained_ = false;
    messages_in_batch_ = 0;
    messages_.for_each([&](outgoing_message& message) {
        if (!cutting.has_room() || for_zero_copy(message) || message.brings_descriptors()) return false;
        message.in_batch_ = true;
        ++batched_;
        if (!message.is_marker()) messages_in_batch_ += message.messages_;
        cutting.cut(message, [&](unsigned part, byte_span slice) {
            room[part].single = slice;
            room[part].bytes += static_cast<std::uint32_t>(slice.size());
            ++room[part].vectors;
        });
        return true;
    });
    part_count_ = static_cast<std::uint8_t>(cutting.count());
    last_part_ = part_count_ == 0 ? 0 : room[part_count_ - 1U].bytes;
    fill_vectors(memory, room.first(part_count_));
    return part_count_;
}

byte_span send_queue::form_zero_copy_batch() noexcept {
    outgoing_message& first = messages_.front();
    if (!for_zero_copy(first)) return {};
    return batch_of(first, std::min(first.unsent(), most_bytes));
}

std::shared_ptr<const void> send_queue::first_given_up() {
    outgoing_message& first = messages_.front();
    if (std::exchange(first.given_up_, true)) return nullptr;
    return first.give_up_bytes();
}

void send_queue::fill_vectors(submission_memory& memory, std::span<send_part> all) noexcept {
    bool any = false;
    for (send_part& part : all) {
        if (part.vectors < 2) continue;
        auto* header = ::new (memory.take<msghdr>(1).data()) msghdr{};
        header->msg_iov = memory.take<iovec>(part.vectors).data();
        part.several = header;
        part.single = {};
        any = true;
    }
    if (!any) return;
    cutter cutting(all.size(), parts_are_);
    std::uint32_t left = batched_;
    messages_.for_each([&](outgoing_message& message) {
        if (left-- == 0) return false;
        cutting.cut(message, [&](unsigned part, byte_span slice) {
            if (all[part].several == nullptr) return;
            auto& header = const_cast<msghdr&>(*all[part].several);
            ::new (&header.msg_iov[header.msg_iovlen++])
                iovec{const_cast<std::byte*>(slice.data()), slice.size()};
        });
        return true;
    });
}

std::size_t send_queue::bytes_before(unsigned part) noexcept {
    if (part == 0) return 0;
    std::size_t bytes = 0;
    cutter cutting(part, parts_are_);
    messages_.for_each([&](outgoing_message& message) {
        cutting.cut(message, [&](unsigned, byte_span slice) { bytes += slice.size(); });
        return cutting.has_room();
    });
    return bytes;
}

void send_queue::completed(unsigned part, int result) noexcept {
    const fault error = result < 0 && result != -ECANCELED ? fault::from_result(result) : fault();

    std::size_t moved = bytes_before(part) + (result > 0 ? static_cast<std::size_t>(result) : 0);
    bool unsent = false;
    fault broken; // by which error; what is behind the message that had it was never started
    messages_.for_each([&](outgoing_message& message) {
        if (batched_ == 0) return false;
        --batched_;
        message.in_batch_ = false;
        const std::size_t rest = message.unsent();
        const std::size_t took = std::min(rest, moved);
        advance(message, took);
        moved -= took;
        if (broken) {
            settle(message, errc::never_started);
        } else if (took == rest && !unsent) {
            settle(message, {});
        } else if (error) {
            if (!message.with_descriptors_ || !is_of_descriptors(result)) broken = error;
            settle(message, error);
        } else if (message.unwanted_) {
            if (message.sent_ != 0) broken = errc::broken;
            cut_off_ = static_cast<bool>(broken);
            settle(message, broken ? errc::broken : errc::cancelled);
        } else {
            unsent =
                true; // longer than a batch, or stopped for another one's sake: it goes first in the next
        }
        return true;
    });
    if (broken) fail_queued(errc::never_started, broken);
}

unsigned send_queue::form_chain(std::span<outgoing_message*> room) noexcept {
    unsigned members = 0;
    chained_ = true;
    messages_.for_each([&](outgoing_message& message) {
        if (!message.is_marker()) {
            if (members == room.size()) return false;
            room[members++] = &message;
        }
        message.in_batch_ = true;
        ++batched_;
        return true;
    });
    return members;
}

const msghdr* send_queue::form_batch_with_descriptors(submission_memory& memory) {
    outgoing_message& first = messages_.front();
    const byte_span bytes = batch_of(first, std::min(first.unsent(), most_bytes));
    msghdr* const header = gather({&bytes, 1}, memory);
    add_control(*header, first);
    return header;
}

const msghdr* send_queue::header_of(outgoing_message& message, submission_memory& memory) {
    const byte_span whole = message.in_one_piece() ? message.bytes() : byte_span();
    msghdr* const header = gather(message.in_one_piece() ? byte_spans(&whole, 1) : message.pieces(), memory);
    if (message.brings_descriptors() || message.has_envelope()) add_control(*header, message);
    if (const endpoint* const to = message.destination()) {
        header->msg_name = const_cast<sockaddr*>(to->address());
        header->msg_namelen = to->length();
    }
    return header;
}

// The kernel reads it when it sends, which in a chain is later than the SQE's submission.
void send_queue::add_control(msghdr& header, outgoing_message& message) noexcept {
    const std::span<std::byte> control = message.control();
    header.msg_control = control.data();
    header.msg_controllen = control.size();
}

msghdr* send_queue::gather(byte_spans pieces, submission_memory& memory) {
    // More pieces than sendmsg takes are its own error, EMSGSIZE.
    const std::size_t count = std::min(pieces.size(), most_vectors + 1);
    const std::span<iovec> vectors = memory.take<iovec>(count);
    for (std::size_t at = 0; at < count; ++at)
        ::new (&vectors[at]) iovec{const_cast<std::byte*>(pieces[at].data()), pieces[at].size()};
    auto* header = ::new (memory.take<msghdr>(1).data()) msghdr{};
    header->msg_iov = vectors.data();
    header->msg_iovlen = count;
    return header;
}

void send_queue::chain_completed(unsigned member, int result, framing carries) noexcept {
    unsigned place = 0;
    bool stopped = false; // what is still wanted goes first in the next batch
    fault broken;
    messages_.for_each([&](outgoing_message& message) {
        if (batched_ == 0) return false;
        --batched_;
        message.in_batch_ = false;
        if (broken) {
            settle(message, errc::never_started);
            return true;
        }
        if (message.is_marker()) {
            if (!stopped) settle(message, {});
            return true;
        }
        const int size = static_cast<int>(message.size());
        const int outcome = place < member ? size : place == member ? result : -ECANCELED;
        ++place;
        if (outcome == size) {
            advance(message, message.size());
            settle(message, {});
        } else if (outcome == -ECANCELED) {
            stopped = true;
            if (message.unwanted_) settle(message, errc::cancelled);
        } else if (
            carries == framing::datagrams || (message.with_descriptors_ && is_of_descriptors(outcome)) ||
            (outcome == -EMSGSIZE && !message.is_buffered())) {
            // The message's own, and those behind it are as good as before. Nobody would hear of a record that was
            // written: its failure is the connection's.
            stopped = true;
            if (message.is_buffered() && !loss_) loss_ = fault::from_result(outcome);
            settle(message, fault::from_result(outcome));
        } else {
            broken = outcome < 0 ? fault::from_result(outcome) : fault(errc::broken);
            settle(message, broken);
        }
        return true;
    });
    if (broken) fail_queued(errc::never_started, broken);
}

void send_queue::fail_queued(fault error, fault cause) noexcept {
    if (!failure_) failure_ = cause;
    messages_.for_each([this, error](outgoing_message& message) {
        if (!message.in_batch_) settle(message, error);
    });
}

bool send_queue::settle_awaited(fault error) noexcept {
    bool others = false;
    messages_.for_each([&](outgoing_message& message) {
        if (message.is_buffered())
            others = true;
        else if (!message.in_batch_ && message.sent_ == 0)
            settle(message, error);
    });
    return others;
}

std::vector<std::byte> send_queue::unsent_bytes_of(const outgoing_message& message) {
    std::vector<std::byte> rest;
    rest.reserve(message.unsent());
    message.for_each_unsent_piece([&rest](byte_span piece) {
        rest.insert(rest.end(), piece.begin(), piece.end());
        return true;
    });
    return rest;
}

bool send_queue::cancel(outgoing_message& message) noexcept {
    if (withdraw(message)) {
        message.settled(errc::cancelled);
        return true;
    }
    if (message.in_batch_) {
        message.unwanted_ = true;
        return false;
    }
    cut_off_ = true;
    settle(message, errc::broken); // longer than a batch, and some of it is on the wire: nothing may follow
    fail_queued(errc::never_started, errc::broken);
    return true;
}

bool send_queue::withdraw(outgoing_message& message) noexcept {
    // Of a marker the kernel knows nothing, nor of a message without bytes unless it is a member of a chain.
    const bool known = message.in_batch_ && !message.is_marker() && (chained_ || message.size() != 0);
    if (known || message.sent_ != 0) return false;
    if (message.in_batch_) --batched_;
    take_out(message);
    return true;
}

bool send_queue::consistent() const noexcept {
    std::uint32_t count = 0;
    std::size_t unsent = 0;
    std::uint32_t in_batch = 0;
    bool in_order = true; // the batch is ahead of what waits for the next one
    messages_.for_each([&](const outgoing_message& message) {
        count += message.messages_;
        unsent += message.unsent();
        in_order = in_order && message.in_batch_ == (in_batch < batched_);
        in_batch += message.in_batch_ ? 1 : 0;
    });
    return count == count_ && unsent == unsent_ && in_batch == batched_ && in_order;
}

void send_queue::replace(outgoing_message& message, outgoing_message& replacement) noexcept {
    replacement.data_ = message.data_;
    replacement.size_ = message.size_;
    replacement.pieces_ = message.pieces_;
    replacement.sent_ = message.sent_;
    replacement.in_batch_ = message.in_batch_;
    replacement.unwanted_ = message.unwanted_;
    replacement.given_up_ = message.given_up_;
    list::replace(message, replacement);
}

} // namespace chainring
