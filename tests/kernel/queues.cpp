// liburing's inline helpers on a struct io_uring filled by hand: what a simulated kernel needs to stand in
// for Linux.
#include "fixture.hpp"

using namespace kernel_test;

namespace {

/// Both queues in plain memory, and the few lines of "kernel" that move entries.
class queues {
  public:
    static constexpr unsigned submission_entries = 8;
    static constexpr unsigned completion_entries = 16;

    queues() {
        io_uring_sq& sq = ring_.sq;
        sq.khead = &submission_head_;
        sq.ktail = &submission_tail_;
        sq.kflags = &flags_;
        sq.kdropped = &dropped_;
        sq.sqes = sqes_.data();
        sq.ring_entries = submission_entries;
        sq.ring_mask = submission_entries - 1;
        io_uring_cq& cq = ring_.cq;
        cq.khead = &completion_head_;
        cq.ktail = &completion_tail_;
        cq.kflags = &flags_;
        cq.koverflow = &dropped_;
        cq.cqes = cqes_.data();
        cq.ring_entries = completion_entries;
        cq.ring_mask = completion_entries - 1;
        // There is no descriptor: any system call by accident fails.
        ring_.ring_fd = -1;
        ring_.enter_ring_fd = -1;
        ring_.features = IORING_FEAT_EXT_ARG;
    }

    io_uring* get() { return &ring_; }

    std::vector<io_uring_sqe> take_submissions() {
        std::vector<io_uring_sqe> taken;
        for (; submission_head_ != ring_.sq.sqe_tail; ++submission_head_) {
            taken.push_back(sqes_[submission_head_ % submission_entries]);
        }
        return taken;
    }

    void complete(const completion& c) {
        io_uring_cqe& cqe = cqes_[completion_tail_ % completion_entries];
        cqe.user_data = c.user_data;
        cqe.res = c.result;
        cqe.flags = c.flags;
        io_uring_smp_store_release(&completion_tail_, completion_tail_ + 1);
    }

  private:
    unsigned submission_head_ = 0;
    unsigned submission_tail_ = 0;
    unsigned completion_head_ = 0;
    unsigned completion_tail_ = 0;
    unsigned flags_ = 0;
    unsigned dropped_ = 0;
    std::array<io_uring_sqe, submission_entries> sqes_{};
    std::array<io_uring_cqe, completion_entries> cqes_{};
    io_uring ring_{};
};

} // namespace

TEST_CASE("sqes_are_taken_prepared_and_read_back_without_a_kernel") {
    queues q;
    const char text[] = "hello";
    io_uring_sqe* entry = io_uring_get_sqe(q.get());
    REQUIRE(entry != nullptr);
    io_uring_prep_send(entry, 5, text, 5, MSG_NOSIGNAL);
    entry->flags |= IOSQE_IO_LINK;
    io_uring_sqe_set_data64(entry, 77);
    CHECK(io_uring_sq_ready(q.get()) == 1);
    CHECK(io_uring_sq_space_left(q.get()) == queues::submission_entries - 1);

    const auto taken = q.take_submissions();
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].opcode == IORING_OP_SEND);
    CHECK(taken[0].fd == 5);
    CHECK(taken[0].addr == reinterpret_cast<std::uintptr_t>(text));
    CHECK(taken[0].len == 5);
    CHECK(taken[0].msg_flags == MSG_NOSIGNAL);
    CHECK(taken[0].flags == IOSQE_IO_LINK);
    CHECK(taken[0].user_data == 77);
    CHECK(io_uring_sq_ready(q.get()) == 0);
}

TEST_CASE("a_hand_made_submission_queue_runs_full_and_wraps_around") {
    queues q;
    std::uint64_t next = 0;
    std::uint64_t expected = 0;
    for (int lap = 0; lap < 5; ++lap) {
        while (io_uring_sqe* entry = io_uring_get_sqe(q.get())) {
            io_uring_prep_nop(entry);
            io_uring_sqe_set_data64(entry, next++);
        }
        CHECK(io_uring_sq_space_left(q.get()) == 0);
        const auto taken = q.take_submissions();
        CHECK(taken.size() == queues::submission_entries);
        for (const io_uring_sqe& entry : taken) CHECK(entry.user_data == expected++);
    }
}

TEST_CASE("a_fresh_sqe_carries_no_flags_of_the_one_that_had_its_place") {
    queues q;
    for (unsigned i = 0; i < queues::submission_entries; ++i) {
        io_uring_sqe* entry = io_uring_get_sqe(q.get());
        std::memset(entry, 0xff, sizeof *entry);
    }
    q.take_submissions();
    io_uring_sqe* entry = io_uring_get_sqe(q.get());
    REQUIRE(entry != nullptr);
    io_uring_prep_recv(entry, 3, nullptr, 10, 0);
    CHECK(entry->flags == 0);
    CHECK(entry->ioprio == 0);
    CHECK(entry->buf_group == 0);
    CHECK(entry->personality == 0);
    CHECK(entry->file_index == 0);
    CHECK(entry->addr3 == 0);
    // user_data is the one thing that neither helper touches: it is always for the caller to set.
    CHECK(entry->user_data == ~0ULL);
}

TEST_CASE("cqes_are_iterated_and_consumed_without_a_kernel") {
    queues q;
    std::uint64_t next = 0;
    std::uint64_t expected = 0;
    for (int lap = 0; lap < 10; ++lap) {
        for (int i = 0; i < 7; ++i)
            q.complete({.user_data = next++, .result = -i, .flags = IORING_CQE_F_MORE});
        CHECK(io_uring_cq_ready(q.get()) == 7);
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* cqe = nullptr;
        io_uring_for_each_cqe(q.get(), head, cqe) {
            CHECK(cqe->user_data == expected++);
            CHECK(cqe->res == -static_cast<int>(count));
            CHECK(cqe->flags == IORING_CQE_F_MORE);
            ++count;
        }
        CHECK(count == 7);
        io_uring_cq_advance(q.get(), count);
        CHECK(io_uring_cq_ready(q.get()) == 0);
    }
}

TEST_CASE("a_single_cqe_is_peeked_and_marked_seen_without_a_kernel") {
    queues q;
    q.complete({.user_data = 1, .result = 2, .flags = 0});
    io_uring_cqe* cqe = nullptr;
    REQUIRE(io_uring_peek_cqe(q.get(), &cqe) == 0);
    CHECK(cqe->user_data == 1);
    io_uring_cqe_seen(q.get(), cqe);
    CHECK(io_uring_cq_ready(q.get()) == 0);
}

TEST_CASE("a_buffer_ring_is_filled_by_the_inline_helpers_in_plain_memory") {
    std::vector<io_uring_buf> memory(4);
    auto* buffers = reinterpret_cast<io_uring_buf_ring*>(memory.data());
    io_uring_buf_ring_init(buffers);
    std::array<char, 64> bytes{};
    for (unsigned short id = 0; id < 6; ++id) {
        io_uring_buf_ring_add(buffers, &bytes[id], 10U + id, id, io_uring_buf_ring_mask(4), 0);
        io_uring_buf_ring_advance(buffers, 1);
    }
    CHECK(buffers->tail == 6);
    CHECK(memory[2].bid == 2);
    CHECK(memory[0].bid == 4);
    CHECK(memory[1].addr == reinterpret_cast<std::uintptr_t>(&bytes[5]));
    CHECK(memory[1].len == 15);
}
