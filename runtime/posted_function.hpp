// A function that is posted to an executor, and owns itself until it runs. Its memory comes from the frame pool where poster and
// executor share a thread.
#pragma once

#include <chainring/runtime/frame_pool.hpp>
#include <chainring/runtime/inbox.hpp>
#include <chainring/runtime/post_memory.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace chainring {

template <class Function> class posted_function final : public posted_work {
  public:
    static posted_function& make(Function&& function, bool here) {
        constexpr bool fits_frames = alignof(posted_function) <= alignof(std::max_align_t);
        const bool pooled = here && fits_frames;
        post_memory::piece piece{nullptr, nullptr};
        if (pooled)
            piece.memory = frame_pool::allocate(sizeof(posted_function));
        else
            piece = post_memory::allocate<sizeof(posted_function), alignof(posted_function)>();
        try {
            return *::new (piece.memory) posted_function(std::move(function), piece.from, pooled);
        } catch (...) {
            release(piece, pooled);
            throw;
        }
    }
    void run() noexcept override {
        Function function(std::move(function_));
        const post_memory::piece piece{this, from_};
        const bool pooled = pooled_;
        std::destroy_at(this);
        if (pooled) release(piece, pooled);
        function();
        if (!pooled) release(piece, pooled); // last, as its chunk may be in the cache of another core
    }

  private:
    posted_function(Function&& function, post_memory::chunk* from, bool pooled)
        : function_(std::move(function))
        , from_(from)
        , pooled_(pooled) {}

    static void release(post_memory::piece piece, bool pooled) noexcept {
        if (pooled)
            frame_pool::release(piece.memory, sizeof(posted_function));
        else
            post_memory::release<sizeof(posted_function), alignof(posted_function)>(piece);
    }

    Function function_;
    post_memory::chunk* from_;
    bool pooled_;
};

} // namespace chainring
