// What has arrived on one connection and was not taken yet: blocks of the executor's buffer pool, in order,
// then the end of the stream or an error. The blocks are linked through the pool, so an idle connection's
// queue is a few words.
#pragma once

#include <chainring/runtime/buffer_pool.hpp>
#include <chainring/runtime/error.hpp>

#include <cstdint>
#include <utility>

namespace chainring {

class receive_queue {
  public:
    // Blocks that may wait before the connection stops receiving. Until the kernel hears of it, it fills more: all that the pool
    // offers it at a time, and in latency mode as much again. So there are at most 15 + 64 or 15 + 2 x 32, and where others
    // have found none, up to 15 + 256 or 15 + 2 x 256.
    static constexpr std::uint16_t most_blocks = 16;

    bool empty() const noexcept { return count_ == 0; }
    std::uint16_t blocks() const noexcept { return count_; }
    bool full() const noexcept { return count_ >= most_blocks; }
    // There is something to take: bytes, the end, or an error.
    bool has_news() const noexcept { return count_ != 0 || ended(); }
    bool ended() const noexcept { return end_ || error_ != 0 || once_; }

    void push(buffer_pool& pool, std::uint16_t block, std::uint32_t size) noexcept {
        pool.size_of(block) = size;
        if (count_ == 0)
            first_ = block;
        else
            pool.next_of(last_) = block;
        last_ = block;
        ++count_;
    }
    // Bytes that were received elsewhere: a message, or of a stream, in as many blocks as they need.
    // errors: std::errc::no_buffer_space, and a part may have been copied; std::errc::message_size
    fault copy(
        buffer_pool& pool, std::span<const std::byte> bytes, bool is_message, int descriptor,
        time_point when) noexcept;
    void push_end() noexcept { end_ = true; }
    void push_error(int error) noexcept { error_ = error; }
    // For one take only.
    void push_once(int error) noexcept {
        once_ = true;
        error_ = error;
    }

    // Bytes first; at the end of the stream an empty buffer, every time; an error likewise.
    result<buffer> take(buffer_pool& pool) noexcept {
        if (count_ == 0) [[unlikely]]
            return outcome();
        const std::uint32_t offset = consumed_;
        const std::uint16_t block = pop(pool);
        const std::uint32_t size = pool.size_of(block);
        if (size > pool.block_size()) [[unlikely]]
            return cut_off(pool, block);
        return pool.lease(block, offset, size - offset);
    }
    // Copies what fits. 0: the end of the stream.
    result<std::size_t> take_into(buffer_pool& pool, std::span<std::byte> target) noexcept;
    // One message into memory that should hold it.
    result<std::size_t> take_message_into(buffer_pool& pool, std::span<std::byte> target) noexcept;
    fault error() const noexcept { return error_ != 0 ? fault::from_errno(error_) : fault(); }
    // All of it, the end and the error too.
    void discard(buffer_pool& pool) noexcept;

  private:
    std::uint16_t pop(buffer_pool& pool) noexcept {
        const std::uint16_t block = first_;
        first_ = pool.next_of(block);
        --count_;
        consumed_ = 0;
        return block;
    }
    // A message that was longer than a block: the kernel has dropped its rest.
    static std::unexpected<std::error_code> cut_off(buffer_pool& pool, std::uint16_t block) noexcept {
        pool.put_back(block);
        return failure(from_errno(EMSGSIZE));
    }
    result<buffer> outcome() noexcept {
        const int error = std::exchange(once_, false) ? std::exchange(error_, 0) : error_;
        if (error != 0) return failure(from_errno(error));
        return buffer();
    }

    std::uint16_t first_ = 0;
    std::uint16_t last_ = 0;
    std::uint16_t count_ = 0;
    bool end_ = false;
    bool once_ = false;          // what comes behind the blocks is for one take
    std::uint32_t consumed_ = 0; // bytes already taken out of the first block
    int error_ = 0;              // errno
};

} // namespace chainring
