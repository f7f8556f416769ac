// datagram: what `receive` of a datagram socket yields, in one block of a buffer pool: who sent it, what the kernel says beside
// it, and its bytes.
#pragma once

#include <chainring/net/control_messages.hpp>
#include <chainring/runtime/buffer.hpp>
#include <chainring/runtime/owned_descriptor.hpp>

#include <algorithm>
#include <iterator>
#include <vector>

namespace chainring {

// The datagrams of a sender that came as one: all of the same size, but for the last one, which may be shorter.
class datagram_segments {
  public:
    class iterator {
      public:
        using value_type = std::span<const std::byte>;
        using difference_type = std::ptrdiff_t;

        iterator() noexcept = default;
        value_type operator*() const noexcept { return rest_.first(std::min(size_, rest_.size())); }
        iterator& operator++() noexcept {
            rest_ = rest_.subspan((**this).size());
            more_ = !rest_.empty();
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++*this;
            return before;
        }
        friend bool operator==(const iterator& at, std::default_sentinel_t) noexcept { return !at.more_; }

      private:
        friend datagram_segments;
        iterator(value_type whole, std::size_t size) noexcept
            : rest_(whole)
            , size_(size)
            , more_(true) {}

        value_type rest_;
        std::size_t size_ = 0;
        bool more_ = false;
    };

    // `size`: of each, in bytes; 0 for one datagram, which may be empty.
    datagram_segments(std::span<const std::byte> whole, std::size_t size) noexcept
        : whole_(whole)
        , size_(size == 0 ? whole.size() : size) {}

    iterator begin() const noexcept { return {whole_, size_}; }
    std::default_sentinel_t end() const noexcept { return {}; }
    // How many they are, one at least.
    std::size_t count() const noexcept { return whole_.empty() ? 1 : (whole_.size() + size_ - 1) / size_; }

  private:
    std::span<const std::byte> whole_;
    std::size_t size_;
};

// How a multishot recvmsg fills a block: a header, the sender's address, control messages, the payload. The places of the
// last three follow from the room that was asked for, whatever came.
struct datagram_layout {
    std::uint32_t name = 0;    // bytes for the address
    std::uint32_t control = 0; // and for control messages

    std::uint32_t payload_at() const noexcept { return header_size + name + control; }

    static constexpr std::uint32_t header_size = 16;
};

// Where the parts of a received datagram are, checked against how much there is.
struct datagram_parts {
    std::span<const std::byte> name;
    std::span<const std::byte> control;
    std::span<const std::byte> payload;
    std::uint32_t sent_size = 0; // bytes of the datagram as it was sent
    std::uint32_t flags = 0;     // MSG_TRUNC, MSG_CTRUNC

    // Empty for what is shorter than the layout's payload_at().
    static datagram_parts of(std::span<const std::byte> block, const datagram_layout& layout) noexcept;
};

// The kernel has opened descriptors for it, which are the receiver's: those that the sender passed, and his process's (SO_PASSPIDFD).
bool brings_descriptors(const control_message& each) noexcept;
// The descriptors that came with a datagram, in the kernel's order, which are the caller's from here. `behind`: what opened them.
std::vector<owned_descriptor> take_descriptors(const control_messages& from, kernel& behind = linux_kernel());
// Those beyond `most` close. True: there were some.
inline bool keep_first(std::vector<owned_descriptor>& all, std::size_t most) noexcept {
    if (all.size() <= most) return false;
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(most), all.end());
    return true;
}

// Move-only: the lease on its block, and the descriptors that came along, which close unless they are taken.
class datagram {
  public:
    datagram() noexcept = default; // empty, of nobody
    // `block`: leased, from its beginning.
    datagram(buffer block, const datagram_layout& layout) noexcept
        : parts_(datagram_parts::of(block.bytes(), layout))
        , lease_(std::move(block)) {
        lease_.remove_prefix(std::min<std::size_t>(layout.payload_at(), lease_.size()));
    }
    datagram(datagram&&) noexcept = default;
    datagram& operator=(datagram&&) noexcept = default;

    std::span<const std::byte> payload() const noexcept { return parts_.payload; }
    std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(parts_.payload.data()), parts_.payload.size()};
    }
    bool empty() const noexcept { return parts_.payload.empty(); }
    // One for each that its sender has sent: where nothing is joined, itself.
    datagram_segments segments() const noexcept {
        return {parts_.payload, control().segment_size().value_or(0)};
    }

    // Of no family, if the sender has no address, as a unix socket that is not bound.
    endpoint from() const noexcept;
    control_messages control() const noexcept { return control_messages(parts_.control); }

    // It was longer than the buffer: what is missing is lost. `sent_size`: bytes that it had.
    bool truncated() const noexcept { return (parts_.flags & MSG_TRUNC) != 0; }
    std::size_t sent_size() const noexcept { return parts_.sent_size; }
    // Some control messages, or descriptors, found no room. What is there of them is whole, or left out.
    bool control_truncated() const noexcept { return (parts_.flags & MSG_CTRUNC) != 0; }

    // The payload's lease, to be sent or kept. What this datagram shows stays as it is until that lease ends.
    buffer take_payload() noexcept { return std::move(lease_); }

    // Of unix sockets (datagram_options::descriptors).
    std::vector<owned_descriptor> descriptors;

  private:
    friend class datagram_receiver;

    // Those beyond `most` are closed, and count as without room.
    void take_descriptors_that_came(std::size_t most, kernel& behind) {
        descriptors = take_descriptors(control(), behind);
        if (keep_first(descriptors, most)) parts_.flags |= MSG_CTRUNC;
    }

    datagram_parts parts_;
    buffer lease_;
};

// The same where the bytes went into the caller's memory.
struct placed_datagram {
    std::span<std::byte> payload; // what is there of it in the caller's memory
    std::size_t sent_size = 0;    // bytes that it had
    endpoint from;
    bool truncated = false;
    bool control_truncated = false;
    std::vector<owned_descriptor> descriptors;

    control_messages control() const noexcept { return control_messages(control_bytes); }
    datagram_segments segments() const noexcept { return {payload, control().segment_size().value_or(0)}; }
    std::vector<std::byte> control_bytes;
};

} // namespace chainring
