// One io_uring: its queues in memory, and `enter`.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/statistics.hpp>

#include <cassert>

namespace chainring {

enum class waiting : std::uint8_t {
    none,
    for_one,     // completion
    for_several, // if they are to be gathered (kernel.hpp)
};

class ring {
  public:
    // Throws std::system_error with the kernel's explanation when the ring can't be made.
    ring(kernel& behind, const ring_options& options);
    ~ring();
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;

    // Makes the calling thread the owner, the only one that may use the ring from now on. Throws as the
    // constructor does.
    void enable();
    // By the owner, who calls nothing else from here on; the ring may then be destroyed on any thread.
    void leave() noexcept { kernel_.leave_ring(queues_); }

    unsigned capacity() const noexcept { return queues_.sq.ring_entries; } // SQEs
    unsigned space_left() const noexcept { return io_uring_sq_space_left(&queues_); }

    // nullptr when the queue is full. The SQE belongs to the ring from here to its terminal CQE, whatever
    // `enter` returns.
    io_uring_sqe* next_sqe() noexcept { return io_uring_get_sqe(&queues_); }

    // SQEs that the kernel has not taken yet.
    unsigned unsubmitted() const noexcept { return io_uring_sq_ready(&queues_); }
    bool completions_ready() const noexcept { return io_uring_cq_ready(&queues_) != 0; }

    // Submits everything, and sleeps until the completions are there or the timeout has passed. Errors that leave the SQEs
    // pending (EAGAIN, EBUSY, EINTR) are counted; the next enter repeats them.
    void enter(waiting wait, const duration* timeout, statistics& counters) noexcept;

    // Visits every completion that is there, in order.
    template <class Visitor> void reap(Visitor&& visit, statistics& counters) {
        const unsigned mask = queues_.cq.ring_mask;
        const unsigned tail = io_uring_smp_load_acquire(queues_.cq.ktail);
        const unsigned head = *queues_.cq.khead;
        for (unsigned at = head; at != tail; ++at) visit(queues_.cq.cqes[at & mask]);
        if (overflown()) [[unlikely]]
            ++counters.cq_overflows;
        io_uring_smp_store_release(queues_.cq.khead, tail);
        counters.cqes += tail - head;
    }

    // Whether completions signal the registered event; at first they do.
    void signal_completions(bool wanted) noexcept { io_uring_cq_eventfd_toggle(&queues_, wanted); }

    io_uring& native() noexcept { return queues_; }

    // For another ring of provided buffers. After very many it may exist already.
    std::uint16_t next_buffer_group() noexcept { return next_buffer_group_++; }

    // The kernel answered a call on this ring with -errno: throws std::system_error with its explanation.
    [[noreturn]] void refused(int returned);

  private:
    // Completions wait outside of the queue for room in it.
    bool overflown() const noexcept {
        return *queues_.cq.koverflow != 0 && (*queues_.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0;
    }

    kernel& kernel_;
    io_uring queues_{};
    unsigned enter_flags_ = 0;
    gathering gather_;
    bool busy_ = false;                   // the last wait for several brought them
    std::uint16_t next_buffer_group_ = 1; // 0 is the buffer pool's
};

} // namespace chainring
