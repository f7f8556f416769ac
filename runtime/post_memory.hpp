// Memory for functions that are posted: taken on the posting thread, given back where they ran. Each thread cuts it from a chunk of
// its own, one piece after the other, and whoever gives the last piece of a chunk back frees it: so a post costs its sender neither
// a trip to malloc nor an atomic operation.
#pragma once

#include <chainring/runtime/address_sanitizer.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace chainring {

class post_memory {
  public:
    class chunk {
        friend class post_memory;
        // Those that are out, and `open` more as long as a thread cuts from it.
        std::atomic<std::uint32_t> out_{open};
        static constexpr std::uint32_t open = 1U << 31;
    };

    struct piece {
        void* memory;
        chunk* from; // nullptr: the heap
    };

    template <std::size_t size, std::size_t alignment> static piece allocate() {
        if constexpr (!address_sanitizer && size <= largest && alignment <= unit) {
            constexpr std::size_t rounded = (size + unit - 1) / unit * unit;
            if (local_.left >= rounded || next_chunk()) [[likely]] {
                auto* const end = reinterpret_cast<std::byte*>(local_.current) + chunk_size;
                void* const cut = end - local_.left;
                local_.left -= rounded;
                ++local_.cut;
                return {cut, local_.current};
            }
        }
        return {::operator new(size, std::align_val_t(alignment)), nullptr};
    }

    template <std::size_t size, std::size_t alignment> static void release(piece given) noexcept {
        if (given.from == nullptr)
            ::operator delete(given.memory, std::align_val_t(alignment));
        else if (given.from->out_.fetch_sub(1, std::memory_order_acq_rel) == 1)
            ::operator delete(given.from);
    }

  private:
    static constexpr std::size_t unit = alignof(std::max_align_t);
    static constexpr std::size_t chunk_size = 4096;
    static constexpr std::size_t largest = 256;

    // Trivially destructible, so that `allocate` needs no guard.
    struct state {
        chunk* current = nullptr;
        std::size_t left = 0; // bytes at its end
        std::uint32_t cut =
            0; // how many pieces: not in the chunk, whose cache line is with whoever gives pieces back
        bool ended = false; // the thread's own objects are being destroyed
    };
    struct end_of_thread;

    static bool next_chunk();           // false: there is none
    static bool leave_chunk() noexcept; // true: nothing of it is out, and it is the caller's

    static constinit thread_local state local_;
};

} // namespace chainring
