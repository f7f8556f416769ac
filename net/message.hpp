// A message on its way out: the bytes, how many of them the kernel has taken, and who hears of its end.
#pragma once

#include <chainring/net/endpoint.hpp>
#include <chainring/runtime/buffer.hpp>
#include <chainring/runtime/error.hpp>
#include <chainring/runtime/intrusive_list.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chainring {

using byte_span = std::span<const std::byte>;
using byte_spans = std::span<const byte_span>; // one message in several pieces

// What a socket carries.
enum class framing : std::uint8_t {
    bytes,     // a stream: messages run together
    records,   // each arrives as it was sent; the connection has an end and may fail
    datagrams, // each arrives as it was sent, or not at all; an error is that of one message
};

// Takes a place in the queue, is complete when all before it are, and is nothing on the wire.
struct queue_marker {};

struct message_tag;

class outgoing_message : public list_node<message_tag> {
  public:
    // The message has left the queue, sent or not. Called once, while completions are reaped.
    virtual void settled(fault error) noexcept = 0;

    std::size_t size() const noexcept { return size_; } // in bytes
    std::size_t sent() const noexcept { return sent_; } // bytes that the kernel took
    std::size_t unsent() const noexcept { return size_ - sent_; }
    std::uint32_t messages() const noexcept { return messages_; } // of a stream: that were joined to this one

    // Nobody waits for it: it is sent even if the stream is destroyed meanwhile.
    bool is_buffered() const noexcept { return buffered_; }
    bool is_marker() const noexcept { return marker_; }

    // What owns the bytes, given up by the message, which still knows where they are. For one that was told to
    // have such a thing.
    virtual std::shared_ptr<const void> give_up_bytes() { return nullptr; }

    // Descriptors go along with its first byte. `control`: of those, as sendmsg takes them; stays until it is settled.
    bool brings_descriptors() const noexcept { return with_descriptors_ && sent_ == 0; }
    virtual std::span<std::byte> control() noexcept { return {}; }
    // A datagram with control messages, or for somebody else than the peer. Both stay until it is settled.
    bool has_envelope() const noexcept { return with_envelope_; }
    virtual const endpoint* destination() const noexcept { return nullptr; }

    bool in_one_piece() const noexcept { return pieces_ == 0; }
    byte_span bytes() const noexcept { // of a message in one piece
        return {static_cast<const std::byte*>(data_), size_};
    }
    byte_spans pieces() const noexcept { // none for a message in one piece
        return {static_cast<const byte_span*>(data_), pieces_};
    }

  protected:
    enum class waited_for : bool { no, yes };
    explicit outgoing_message(waited_for by_its_sender = waited_for::yes) noexcept
        : buffered_(by_its_sender == waited_for::no) {}
    explicit outgoing_message(byte_span bytes) noexcept { set_bytes(bytes); }
    explicit outgoing_message(byte_spans pieces) noexcept { set_bytes(pieces); }
    outgoing_message(outgoing_message&&) noexcept = default;
    ~outgoing_message() = default;

    // Before it is queued.
    void set_bytes(queue_marker) noexcept { marker_ = true; }
    void set_bytes(byte_span bytes) noexcept {
        data_ = bytes.data();
        size_ = bytes.size();
    }
    // The message owns its bytes, and gives them up where they are.
    void set_owned() noexcept { owned_ = true; }
    void set_with_descriptors() noexcept { with_descriptors_ = true; }
    void set_with_envelope() noexcept { with_envelope_ = true; }
    // Behind the bytes is memory for `room` more (less than 64 KiB), of messages that follow on a stream.
    void set_room(std::size_t room) noexcept { room_ = static_cast<std::uint16_t>(room); }
    void set_bytes(byte_spans pieces) noexcept {
        data_ = pieces.data();
        pieces_ = static_cast<std::uint32_t>(pieces.size());
        size_ = 0;
        for (const byte_span piece : pieces) size_ += piece.size();
    }

  private:
    friend class send_queue;

    // The pieces of what is not sent, empty ones left out. The visitor stops the walk by returning false.
    template <class Visitor> void for_each_unsent_piece(Visitor&& visit) const {
        if (in_one_piece()) {
            if (sent_ < size_) visit(bytes().subspan(sent_));
            return;
        }
        std::size_t skipped = sent_;
        for (const byte_span piece : pieces()) {
            const std::size_t skip = std::min(skipped, piece.size());
            skipped -= skip;
            if (skip < piece.size() && !visit(piece.subspan(skip))) return;
        }
    }

    const void* data_ = nullptr; // the bytes, or the list of the pieces
    std::size_t size_ = 0;       // of all the pieces, in bytes
    std::size_t sent_ = 0;
    std::uint32_t pieces_ = 0; // none: in one piece
    std::uint32_t messages_ = 1;
    std::uint16_t room_ = 0;
    bool buffered_ = false;
    bool marker_ = false;
    bool in_batch_ = false;
    bool unwanted_ = false;  // cancelled while in the batch
    bool owned_ : 1 = false; // with the next one in a byte: an object of the queue is 64
    bool with_descriptors_ : 1 = false;
    bool with_envelope_ : 1 = false;
    bool given_up_ = false; // its bytes, for a send without a copy
};

// The bytes of what a sender may hand over.
inline queue_marker bytes_of(queue_marker marker) noexcept {
    return marker;
}
inline byte_span bytes_of(byte_span bytes) noexcept {
    return bytes;
}
inline byte_spans bytes_of(byte_spans pieces) noexcept {
    return pieces;
}
inline byte_span bytes_of(const buffer& lease) noexcept {
    return lease.bytes();
}
inline byte_span bytes_of(const std::string& text) noexcept {
    return std::as_bytes(std::span(text.data(), text.size()));
}
inline byte_span bytes_of(const std::vector<std::byte>& bytes) noexcept {
    return bytes;
}

template <class Payload>
concept owns_its_bytes = !std::same_as<Payload, queue_marker> && !std::same_as<Payload, byte_span> &&
                         !std::same_as<Payload, byte_spans>;

// A payload whose bytes stay where they are when it moves: all do but a short string.
template <class Payload> std::shared_ptr<const void> given_up(Payload& payload) {
    if constexpr (owns_its_bytes<Payload>)
        return std::make_shared<const Payload>(std::move(payload));
    else
        return nullptr;
}

} // namespace chainring
