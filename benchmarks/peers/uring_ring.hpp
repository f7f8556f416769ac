// The ring and the receive buffers of the hand-written liburing contestants.
#pragma once

#include "listening.hpp"

#include <liburing.h>
#include <sys/mman.h>

#include <utility>
#include <vector>

namespace peers {

// Linux 6.15; liburing 2.9 has no names for them. Without it a waiting ring counts as waiting for a disk.
inline constexpr unsigned feature_no_iowait = 1U << 17;
inline constexpr unsigned enter_no_iowait = 1U << 7;

// When the kernel runs completions: while the ring is waited for, or on any return from the kernel.
enum class task_work { deferred, cooperative };

// Owns the ring and the one system call of the data path.
class submission_ring {
  public:
    explicit submission_ring(task_work runs = task_work::deferred) {
        io_uring_params parameters{};
        parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
        parameters.flags |=
            runs == task_work::deferred ? IORING_SETUP_DEFER_TASKRUN : IORING_SETUP_COOP_TASKRUN;
        // A full completion queue ends every multishot receive.
        parameters.cq_entries = 8192;
        check(io_uring_queue_init_params(2048, &ring_, &parameters), "io_uring_queue_init_params");
        check(io_uring_register_ring_fd(&ring_), "io_uring_register_ring_fd");
        enter_flags_ = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
        if (parameters.features & feature_no_iowait) enter_flags_ |= enter_no_iowait;
    }

    static int check(int outcome, const char* what) {
        if (outcome < 0) throw std::system_error(-outcome, std::system_category(), what);
        return outcome;
    }

    io_uring* get() { return &ring_; }

    io_uring_sqe* next(std::uint64_t owner) {
        io_uring_sqe* entry;
        while (!(entry = io_uring_get_sqe(&ring_))) enter(0);
        entry->user_data = owner;
        return entry;
    }

    // liburing's own submit cannot pass NO_IOWAIT, so this publishes the tail itself. EAGAIN and EBUSY leave
    // the entries pending, and they go with the next enter.
    void enter(unsigned wait_for) {
        ring_.sq.sqe_head = ring_.sq.sqe_tail;
        io_uring_smp_store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
        const unsigned pending = ring_.sq.sqe_tail - io_uring_smp_load_acquire(ring_.sq.khead);
        const int taken = io_uring_enter(ring_.enter_ring_fd, pending, wait_for, enter_flags_, nullptr);
        ++enters_;
        if (taken > 0)
            submitted_ += taken;
        else if (taken != -EINTR && taken != -EAGAIN && taken != -EBUSY)
            check(taken, "io_uring_enter");
    }

    unsigned long long enters() const { return enters_; }
    unsigned long long submitted() const { return submitted_; }

  private:
    io_uring ring_{};
    unsigned enter_flags_ = 0;
    unsigned long long enters_ = 0;
    unsigned long long submitted_ = 0;
};

// Buffers the kernel fills, shared by all connections. A buffer's notes hold what a send queue needs to know,
// so that queueing allocates nothing.
class receive_buffers {
  public:
    static constexpr int none = -1;

    struct notes {
        int next = none;
        unsigned length = 0;
        unsigned sent = 0;
    };

    receive_buffers(submission_ring& ring, unsigned count, unsigned size)
        : count_(count)
        , size_(size)
        , notes_(count)
        , memory_(map(std::size_t{count} * size)) {
        int failure = 0;
        provided_ = io_uring_setup_buf_ring(ring.get(), count, 0, 0, &failure);
        submission_ring::check(failure, "io_uring_setup_buf_ring");
        for (unsigned buffer = 0; buffer < count; ++buffer) release(static_cast<int>(buffer));
        publish();
    }

    notes& operator[](int buffer) { return notes_[buffer]; }
    char* data(int buffer) { return memory_ + static_cast<std::size_t>(buffer) * size_; }
    unsigned available() const { return available_; }
    unsigned size() const { return size_; } // of each, in bytes

    int take(const io_uring_cqe& completion) {
        const int buffer = static_cast<int>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
        notes_[buffer] = {none, static_cast<unsigned>(completion.res), 0};
        --available_;
        return buffer;
    }

    void release(int buffer) {
        io_uring_buf_ring_add(
            provided_, data(buffer), size_, static_cast<unsigned short>(buffer),
            io_uring_buf_ring_mask(count_), returned_++);
        ++available_;
    }

    // One release store for all buffers of a turn.
    void publish() { io_uring_buf_ring_advance(provided_, std::exchange(returned_, 0)); }

  private:
    // Never unmapped: the kernel may write to it while the ring lives, which is as long as the process.
    static char* map(std::size_t size) {
        void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) checked(-1, "mmap");
        return static_cast<char*>(memory);
    }

    unsigned count_;
    unsigned size_;
    unsigned available_ = 0;
    int returned_ = 0;
    std::vector<notes> notes_;
    char* memory_;
    io_uring_buf_ring* provided_ = nullptr;
};

} // namespace peers
