// Memory that an SQE points to and that the kernel copies when it takes the SQE: addresses, iovec arrays,
// msghdrs. Handed out by bumping a pointer; all of it is free again once the kernel has taken every SQE
// (IORING_FEAT_SUBMIT_STABLE).
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace chainring {

class submission_memory {
  public:
    // Uninitialised room for `count` objects. T needs no destructor.
    template <class T> std::span<T> take(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= alignof(std::max_align_t));
        return {reinterpret_cast<T*>(take_bytes(count * sizeof(T))), count};
    }

    void release_all() noexcept {
        if (used_ == 0 && current_ == 0) return;
        current_ = 0;
        used_ = 0;
    }

  private:
    static constexpr std::size_t block_size = std::size_t{64} * 1024;
    static constexpr std::size_t alignment = alignof(std::max_align_t);

    std::byte* take_bytes(std::size_t size) {
        size = (size + alignment - 1) / alignment * alignment;
        assert(size <= block_size);
        if (current_ < blocks_.size() && used_ + size > block_size) {
            ++current_;
            used_ = 0;
        }
        if (current_ == blocks_.size()) blocks_.push_back(std::make_unique<std::byte[]>(block_size));
        std::byte* taken = blocks_[current_].get() + used_;
        used_ += size;
        return taken;
    }

    std::vector<std::unique_ptr<std::byte[]>> blocks_;
    std::size_t current_ = 0;
    std::size_t used_ = 0;
};

} // namespace chainring
