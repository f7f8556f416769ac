// A ring of buffers that the kernel takes from by itself, under the number of a group.
#pragma once

#include <chainring/runtime/ring.hpp>

#include <cstdint>

namespace chainring {

class provided_ring {
  public:
    // `entries`: a power of two, 32,768 at most. Throws std::system_error if there is no memory.
    explicit provided_ring(std::uint32_t entries);
    ~provided_ring();
    provided_ring(const provided_ring&) = delete;
    provided_ring& operator=(const provided_ring&) = delete;

    std::uint32_t entries() const noexcept { return entries_; }

    // Empty from here on. 0 or -errno; -EEXIST: the group exists. `flags`: of IORING_REGISTER_PBUF_RING.
    int open(kernel& behind, ring& used_by, std::uint16_t group, unsigned flags = 0) noexcept;
    void close(kernel& behind, ring& used_by, std::uint16_t group) noexcept;

    // The kernel sees it after `advance`. `place` counts from the last advance; there must be an entry left.
    void add(void* memory, std::uint32_t size, std::uint16_t id, std::uint32_t place) noexcept {
        io_uring_buf_ring_add(
            memory_, memory, size, id, io_uring_buf_ring_mask(entries_), static_cast<int>(place));
    }
    void advance(std::uint32_t count) noexcept {
        io_uring_buf_ring_advance(memory_, static_cast<int>(count));
    }

  private:
    std::uint32_t entries_;
    io_uring_buf_ring* memory_;
};

} // namespace chainring
