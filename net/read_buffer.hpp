// What a buffered_reader has received and not handed out: the lease that came last, and before it the bytes of earlier ones,
// which were joined because a message goes on behind them. Bytes are copied when they are joined, once, and never if a
// message lies in one lease.
#pragma once

#include <chainring/net/message.hpp>
#include <chainring/runtime/buffer.hpp>

#include <cassert>
#include <utility>
#include <vector>

namespace chainring {

class read_buffer {
  public:
    // In bytes.
    std::size_t size() const noexcept { return joined() + lease_.size() - overlap_; }
    std::size_t left() const noexcept { return size() - taken_; }
    bool empty() const noexcept { return size() == 0; }
    // Of the first piece, which costs nothing to look at.
    std::size_t size_at_hand() const noexcept { return joined() != 0 ? joined() : lease_.size(); }

    // The first `size` bytes, of those that there are. Valid until anything is changed.
    byte_span first(std::size_t size);
    // The same, and they are gone at the next `let_go`.
    byte_span take(std::size_t size) {
        const byte_span taken = first(size);
        taken_ = size;
        return taken;
    }
    void let_go() noexcept;
    void drop(std::size_t size) noexcept {
        taken_ = size;
        let_go();
    }

    // To be called before a lease is added: joins what there is, so that it needs no block of the pool while more is waited
    // for. Nothing there: nothing is kept. `expected`: bytes that there will be, if that is known, or 0.
    void join(std::size_t expected);
    void add(buffer&& lease) noexcept {
        assert(lease_.empty());
        lease_ = std::move(lease);
    }

  private:
    std::size_t joined() const noexcept { return joined_.size() - begin_; }
    void append(std::size_t size);

    std::vector<std::byte> joined_; // from begin_ on
    std::size_t begin_ = 0;
    buffer lease_;
    std::size_t overlap_ = 0; // bytes of the lease that were joined too: those it begins with
    std::size_t taken_ = 0;
};

} // namespace chainring
