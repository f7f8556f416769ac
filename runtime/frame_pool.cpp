#include <chainring/runtime/frame_pool.hpp>

namespace chainring {

constinit thread_local frame_pool::state frame_pool::local_{};

namespace {

// Exists from a thread's first frame to its end.
struct trim_at_thread_exit {
    ~trim_at_thread_exit() { frame_pool::trim(); }
};

} // namespace

void* frame_pool::allocate_new(std::size_t size_class, std::size_t size) {
    if (!local_.open) {
        static thread_local trim_at_thread_exit trimmer;
        (void)trimmer;
        local_.open = true;
        for (free_list& list : local_.free) list.room = most_kept;
    }
    void* memory = ::operator new(size_class < classes ? size_of(size_class) : size);
    ++local_.blocks;
    return memory;
}

void frame_pool::release_now(void* memory) noexcept {
    --local_.blocks;
    ::operator delete(memory);
}

std::int64_t frame_pool::live() noexcept {
    std::int64_t live = local_.blocks;
    if (local_.open)
        for (const free_list& list : local_.free) live -= most_kept - list.room;
    return live;
}

void frame_pool::trim() noexcept {
    local_.open = false; // a frame that dies after the thread's own objects goes straight to the heap
    for (free_list& list : local_.free) {
        while (block* kept = list.first) {
            list.first = kept->next;
            release_now(kept);
        }
        list.room = 0;
    }
}

} // namespace chainring
