// A pool of few small blocks, and reads into it.
#pragma once

#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/buffer_pool.hpp>

#include <string_view>

namespace chainring::test {

inline executor_options small_pool(std::uint32_t blocks, std::uint32_t most_blocks = 0) {
    executor_options options;
    options.buffers.blocks = blocks;
    options.buffers.most_blocks = most_blocks;
    options.buffers.block_size = 64;
    return options;
}

// One read from a pipe into a block that the kernel chooses, as receivers do it.
class pool_read final : public waiter, private completion {
  public:
    pool_read(executor& home, int descriptor)
        : home_(home)
        , descriptor_(descriptor) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        suspend(caller, where);
        home_.submit(*this, [this](io_uring_sqe& sqe) {
            prepare_read(sqe, descriptor_, nullptr, home_.buffers().block_size());
            sqe.flags |= IOSQE_BUFFER_SELECT;
            sqe.buf_group = buffer_pool::group;
        });
    }
    result<buffer> await_resume() {
        if (returned_ < 0) return failure(from_errno(-returned_));
        return home_.buffers().lease(block_, 0, static_cast<std::uint32_t>(returned_));
    }
    void cancel() noexcept override {}

  private:
    void complete(const io_uring_cqe& cqe) noexcept override {
        returned_ = cqe.res;
        if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) block_ = home_.buffers().taken_by_kernel(cqe);
        home_.ready().push(*this);
    }

    executor& home_;
    int descriptor_;
    int returned_ = 0;
    std::uint16_t block_ = buffer_pool::none;
};

inline task<buffer> receive(executor& home, const pipe_ends& from, std::string_view text) {
    from.write(text);
    result<buffer> received = co_await pool_read(home, from.reading());
    REQUIRE(received.has_value());
    CHECK(received->text() == text);
    co_return std::move(*received);
}

inline bool every_block_is_somewhere(const buffer_pool& pool) {
    return pool.leased() + pool.provided() + pool.free() == pool.blocks();
}

// Counts how often it is fed.
struct hungry final : starved_receiver {
    int times_fed = 0;
    gate was_fed;
    void fed() noexcept override {
        ++times_fed;
        was_fed.open();
    }
};

} // namespace chainring::test
