// More completions than the completion queue has room for.
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace kernel_test;

namespace {

constexpr unsigned room = 8;
constexpr unsigned operations = 100;

bool overflown(ring& r) {
    return (*r.get()->sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0;
}

void complete_a_hundred(ring& r) {
    r.require_feature(IORING_FEAT_NODROP, "IORING_FEAT_NODROP (5.5)");
    for (unsigned i = 0; i < operations; ++i) {
        if (io_uring_sq_space_left(r.get()) == 0) r.submit();
        r.sqe(i);
    }
    r.submit();
}

} // namespace

TEST_CASE("completions_beyond_a_full_queue_are_kept_flagged_and_handed_out_in_order") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    CAPTURE(flags);
    ring r(flags, room, room);
    complete_a_hundred(r);
    CHECK(io_uring_cq_ready(r.get()) == room);
    CHECK(overflown(r));
    CHECK(*r.get()->cq.koverflow == 0);

    std::uint64_t expected = 0;
    for (const completion& c : r.reap()) CHECK(c.user_data == expected++);
    CHECK(expected == operations);
    CHECK_FALSE(overflown(r));
    CHECK(*r.get()->cq.koverflow == 0);
}

TEST_CASE("a_wait_with_a_full_queue_and_more_behind_it_returns_at_once") {
    ring r(ring::deferred, room, room);
    complete_a_hundred(r);
    CHECK(io_uring_get_events(r.get()) == 0);
    __kernel_timespec limit{.tv_sec = patience_ms / 1000, .tv_nsec = 0};
    io_uring_cqe* cqe = nullptr;
    CHECK(io_uring_submit_and_wait_timeout(r.get(), &cqe, 1, &limit, nullptr) == 0);
    CHECK(io_uring_cq_ready(r.get()) == room);
    CHECK(r.reap().size() == operations);
}

TEST_CASE("submitting_with_completions_kept_back_is_taken_or_refused_but_never_lost") {
    ring r(ring::deferred, room, room);
    complete_a_hundred(r);
    r.sqe(operations);
    const int submitted = io_uring_submit(r.get());
    CAPTURE(submitted);
    if (submitted < 0) {
        CHECK(submitted == -EBUSY);
        CHECK(io_uring_sq_ready(r.get()) == 1);
    }
    std::size_t done = r.reap().size();
    if (submitted < 0) {
        r.submit();
        done += r.reap().size();
    }
    CHECK(done == operations + 1);
}

TEST_CASE("a_completion_queue_may_be_sized_for_bursts_apart_from_the_submission_queue") {
    ring r(ring::deferred, room, 1024);
    CHECK(r.get()->cq.ring_entries == 1024);
    CHECK(r.get()->sq.ring_entries == room);
    complete_a_hundred(r);
    CHECK(io_uring_cq_ready(r.get()) == operations);
    CHECK_FALSE(overflown(r));
    r.reap();
}
