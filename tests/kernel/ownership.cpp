// Who owns a ring, and who owns an SQE that could not be submitted.
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <sys/eventfd.h>

using namespace kernel_test;

TEST_CASE("only_the_thread_that_owns_a_ring_may_submit_get_events_or_register") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    CAPTURE(flags);
    ring r(flags);
    r.sqe(1);
    r.submit();
    REQUIRE(r.wait().user_data == 1);
    r.sqe(2);
    on_a_fresh_thread([&r, flags] {
        const descriptor counter(eventfd(0, EFD_CLOEXEC));
        CHECK(io_uring_submit(r.get()) == -EEXIST);
        CHECK(io_uring_register_eventfd(r.get(), counter.get()) == -EEXIST);
        if (flags == ring::deferred) CHECK(io_uring_get_events(r.get()) == -EEXIST);
    });
}

TEST_CASE("an_sqe_whose_submission_was_refused_stays_in_the_ring_until_one_succeeds") {
    ring r;
    r.sqe(1);
    CHECK(on_a_fresh_thread([&r] { return io_uring_submit(r.get()); }) == -EEXIST);
    CHECK(io_uring_sq_ready(r.get()) == 1);
    CHECK(io_uring_sq_space_left(r.get()) == 127);
    r.sqe(2);
    REQUIRE(io_uring_submit(r.get()) == 2);
    const auto all = r.wait(2);
    CHECK(of(all, 1).result == 0);
    CHECK(of(all, 2).result == 0);
}

TEST_CASE("a_disabled_ring_takes_registrations_and_belongs_to_the_thread_that_enables_it") {
    ring r(ring::deferred | IORING_SETUP_R_DISABLED);
    const auto sockets = unix_pair();
    buffer_ring buffers(r, 4, 16);
    REQUIRE(io_uring_register_files_sparse(r.get(), 4) == 0);
    r.sqe(1);
    CHECK(io_uring_submit(r.get()) == -EBADFD);
    CHECK(io_uring_sq_ready(r.get()) == 1);

    on_a_fresh_thread([&] {
        REQUIRE(io_uring_enable_rings(r.get()) == 0);
        io_uring_sqe* entry = r.sqe(2);
        io_uring_prep_recv(entry, sockets.near.get(), nullptr, 16, 0);
        buffers.select(entry);
        r.submit();
        CHECK(r.wait().user_data == 1);
        put(sockets.far.get(), "handed over");
        CHECK(buffers.text(r.wait()) == "handed over");
    });
    r.sqe(3);
    CHECK(io_uring_submit(r.get()) == -EEXIST);
    CHECK(io_uring_get_events(r.get()) == -EEXIST);
}

TEST_CASE("any_thread_may_register_a_buffer_ring_before_a_disabled_ring_is_enabled") {
    ring r(ring::deferred | IORING_SETUP_R_DISABLED);
    std::unique_ptr<buffer_ring> buffers;
    on_a_fresh_thread([&] { buffers = std::make_unique<buffer_ring>(r, 4, 16); });
    REQUIRE(io_uring_enable_rings(r.get()) == 0);
    const auto sockets = unix_pair();
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv(entry, sockets.near.get(), nullptr, 16, 0);
    buffers->select(entry);
    r.submit();
    put(sockets.far.get(), "hello");
    CHECK(buffers->text(r.wait()) == "hello");
}

TEST_CASE("a_ring_descriptor_registered_by_one_thread_is_of_no_use_to_another") {
    ring r(ring::deferred | IORING_SETUP_R_DISABLED);
    on_a_fresh_thread([&r] {
        const int registered = io_uring_register_ring_fd(r.get());
        if (registered == -EINVAL) SKIP("this kernel registers no ring descriptors (5.18)");
        REQUIRE(registered == 1);
    });
    // liburing now enters by an index that means nothing here, where nothing is registered.
    CHECK(io_uring_get_events(r.get()) < 0);
}

TEST_CASE("one_bad_sqe_does_not_hold_up_those_behind_it_when_the_ring_submits_all") {
    const bool submit_all = GENERATE(false, true);
    CAPTURE(submit_all);
    ring r(submit_all ? ring::deferred : ring::deferred & ~IORING_SETUP_SUBMIT_ALL);
    r.sqe(1);
    r.sqe(2)->opcode = 0xff;
    r.sqe(3);
    r.sqe(4);
    const int submitted = io_uring_submit(r.get());
    const auto done = static_cast<unsigned>(submitted);
    if (submit_all) {
        CHECK(submitted == 4);
    } else {
        REQUIRE(submitted == 2);
        CHECK(io_uring_sq_ready(r.get()) == 2);
        CHECK(r.wait(done).back().result == -EINVAL);
        REQUIRE(io_uring_submit(r.get()) == 2);
        CHECK(of(r.wait(2), 4).result == 0);
        return;
    }
    const auto all = r.wait(done);
    CHECK(of(all, 2).result == -EINVAL);
    for (std::uint64_t good : {1, 3, 4}) CHECK(of(all, good).result == 0);
}

TEST_CASE("a_full_submission_queue_gives_no_sqe_and_loses_none") {
    ring r(ring::deferred, 8);
    for (std::uint64_t i = 0; i < 8; ++i) r.sqe(i);
    CHECK(io_uring_sq_space_left(r.get()) == 0);
    CHECK(io_uring_get_sqe(r.get()) == nullptr);
    r.submit();
    CHECK(io_uring_sq_space_left(r.get()) == 8);
    CHECK(r.wait(8).size() == 8);
}
