// Recycles coroutine frames: one free list a size class and thread, so that a task costs no trip to malloc in
// steady state. Classes go up to 8 KiB because GCC's frames are big; larger frames go to operator new.
#pragma once

#include <chainring/runtime/address_sanitizer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

namespace chainring {

class frame_pool {
    static constexpr bool recycles = !address_sanitizer;

  public:
    static void* allocate(std::size_t size) {
        const std::size_t size_class = class_of(size);
        if (size_class < classes) {
            block*& first = local_.free[size_class];
            block* const reused = first;
            if (reused->next != nullptr) {
                first = reused->next;
                return reused;
            }
        }
        return allocate_new(size_class, size);
    }

    static void release(void* memory, std::size_t size) noexcept {
        const std::size_t size_class = class_of(size);
        if (recycles && size_class < classes) {
            block*& first = local_.free[size_class];
            const std::uint32_t kept = first->kept;
            if (kept < most_kept) {
                auto* freed = static_cast<block*>(memory);
                freed->next = first;
                freed->kept = kept + 1;
                first = freed;
                return;
            }
        }
        release_now(memory);
    }

    // A frame of this thread's goes to another one, or came from there, and will be freed there.
    static void gone() noexcept { --local_.blocks; }
    static void came() noexcept { ++local_.blocks; }

    // Frames made on this thread, or brought to it, less those freed on it and those that have gone.
    static std::int64_t live() noexcept;

    // Gives the memory this thread keeps back to the heap.
    static void trim() noexcept;

  private:
    // The block sizes, 16 n + 8 bytes, are those that malloc gives without waste.
    static constexpr std::size_t granularity = 16;
    static constexpr std::size_t classes = 8192 / granularity + 1;

    static constexpr std::uint32_t most_kept = 4096; // blocks of a class

    // Every list ends in one of two that are no memory to hand out. They spare the fast paths a test.
    struct block {
        block* next;
        std::uint32_t kept; // blocks from this one to the end of its list
    };
    static constinit block end_of_list_;
    static constinit block closed_list_; // full: before a thread's first frame, and at the thread's end

    // Trivially destructible, so that the inline paths need no guard; a separate object frees it at thread
    // exit.
    struct state {
        constexpr state() noexcept { std::ranges::fill(free, &closed_list_); }
        block* free[classes]{};
        std::int64_t blocks = 0; // from the heap, in use or in a list
    };

    static std::size_t class_of(std::size_t size) noexcept { return (size + 7) / granularity; }
    static std::size_t size_of(std::size_t size_class) noexcept { return size_class * granularity + 8; }
    static void* allocate_new(std::size_t size_class, std::size_t size);
    static void release_now(void* memory) noexcept;

    static constinit thread_local state local_;
};

} // namespace chainring
