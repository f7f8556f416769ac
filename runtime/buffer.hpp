// buffer: a lease on a block of an executor's buffer pool, holding received bytes. Move-only; the block goes
// home when the lease dies, from whichever thread that is.
#pragma once

#include <chainring/runtime/intrusive_list.hpp>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace chainring {

class buffer_pool;

class buffer {
  public:
    buffer() noexcept = default; // empty, and owns nothing
    buffer(buffer&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr))
        , data_(std::exchange(other.data_, nullptr))
        , size_(std::exchange(other.size_, 0))
        , block_(other.block_) {}
    buffer& operator=(buffer&& other) noexcept {
        buffer taken(std::move(other));
        std::swap(pool_, taken.pool_);
        std::swap(data_, taken.data_);
        std::swap(size_, taken.size_);
        std::swap(block_, taken.block_);
        return *this;
    }
    ~buffer() {
        if (pool_ != nullptr) give_back();
    }

    // Ends the lease; the buffer is empty afterwards.
    void reset() noexcept {
        if (pool_ != nullptr) give_back();
        pool_ = nullptr;
        data_ = nullptr;
        size_ = 0;
    }

    // Sizes are in bytes.
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    std::byte* data() noexcept { return data_; }
    const std::byte* data() const noexcept { return data_; }
    std::span<std::byte> bytes() noexcept { return {data_, size_}; }
    std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
    std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

    // Narrow the view; the block stays leased.
    void remove_prefix(std::size_t count) noexcept {
        assert(count <= size_);
        data_ += count;
        size_ -= static_cast<std::uint32_t>(count);
    }
    void truncate(std::size_t size) noexcept {
        assert(size <= size_);
        size_ = static_cast<std::uint32_t>(size);
    }

  private:
    friend class buffer_pool;
    buffer(buffer_pool& pool, std::byte* data, std::uint32_t size, std::uint16_t block) noexcept
        : pool_(&pool)
        , data_(data)
        , size_(size)
        , block_(block) {}
    void give_back() noexcept;

    buffer_pool* pool_ = nullptr;
    std::byte* data_ = nullptr;
    std::uint32_t size_ = 0;
    std::uint16_t block_ = 0;
};

} // namespace chainring
