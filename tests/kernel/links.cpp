// Linked SQEs: the one order the kernel keeps, and what ends a chain early.
#include "fixture.hpp"
#include "io_workers.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace kernel_test;

namespace {

struct kind {
    const char* name;
    int unix_type; // 0: TCP
};

socket_pair narrow_pair(kind k) {
    return k.unix_type == 0 ? tcp_pair(4096) : unix_pair(k.unix_type, 8192);
}

/// Sends a kilobyte each of A, B, C and D into a socket that is full, and returns the letters in the order of
/// arrival.
std::string order_behind_back_pressure(kind k, unsigned ring_flags, bool linked) {
    ring r(ring_flags);
    const auto sockets = narrow_pair(k);
    const std::size_t filled = fill(sockets.near.get());
    const std::array messages{
        std::string(1000, 'A'), std::string(1000, 'B'), std::string(1000, 'C'), std::string(1000, 'D')};
    for (std::size_t i = 0; i < messages.size(); ++i) {
        io_uring_sqe* entry = r.sqe(i);
        io_uring_prep_send(
            entry, sockets.near.get(), messages[i].data(), messages[i].size(), MSG_WAITALL | MSG_NOSIGNAL);
        if (linked && i + 1 < messages.size()) entry->flags |= IOSQE_IO_LINK;
    }
    r.submit();
    std::vector<completion> done;
    const std::string arrived = get_while_driving(r, sockets.far.get(), filled + 4000, 4, done);
    REQUIRE(arrived.size() == filled + 4000);
    for (const completion& c : done) CHECK(c.result == 1000);
    return runs(arrived.substr(filled));
}

/// A chain of one-byte sends; member `failing` (if any) names no descriptor.
void push_chain(ring& r, int socket, unsigned length, unsigned failing, unsigned char flags) {
    for (unsigned i = 0; i < length; ++i) {
        io_uring_sqe* entry = r.sqe(i);
        io_uring_prep_send(entry, i == failing ? -1 : socket, "x", 1, MSG_WAITALL | MSG_NOSIGNAL);
        if (i + 1 < length) entry->flags |= flags;
    }
}

constexpr unsigned none = ~0U;

} // namespace

TEST_CASE("linked_sends_leave_in_the_order_of_the_chain_even_under_back_pressure") {
    const auto k = GENERATE(
        kind{"tcp", 0}, kind{"unix stream", SOCK_STREAM}, kind{"unix seqpacket", SOCK_SEQPACKET},
        kind{"unix datagram", SOCK_DGRAM});
    const auto flags = GENERATE(ring::deferred, ring::cooperative, 0U);
    CAPTURE(k.name, flags);
    const std::string order = order_behind_back_pressure(k, flags, true);
    CHECK(order == "ABCD");
}

TEST_CASE("unlinked_sends_under_back_pressure_arrive_whole_but_in_no_order_to_rely_on") {
    const auto k = GENERATE(
        kind{"tcp", 0}, kind{"unix stream", SOCK_STREAM}, kind{"unix seqpacket", SOCK_SEQPACKET},
        kind{"unix datagram", SOCK_DGRAM});
    CAPTURE(k.name);
    std::string order = order_behind_back_pressure(k, ring::deferred, false);
    if (order == "ABCD")
        WARN(k.name << ": unlinked sends came in the order of the calls; Linux 6.18 reverses them");
    std::ranges::sort(order);
    CHECK(runs(order) == "ABCD");
}

TEST_CASE("a_short_send_without_waitall_is_a_success_and_the_chain_goes_on_behind_the_hole") {
    ring r;
    auto sockets = tcp_pair(4096);
    const std::string big(200'000, 'A');
    const std::string next(1000, 'B');
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_send(entry, sockets.near.get(), big.data(), big.size(), MSG_NOSIGNAL);
    entry->flags |= IOSQE_IO_LINK;
    io_uring_prep_send(r.sqe(2), sockets.near.get(), next.data(), next.size(), MSG_NOSIGNAL);
    r.submit();

    std::vector<completion> done;
    std::string arrived = get_while_driving(r, sockets.far.get(), 0, 2, done);
    const int first = of(done, 1).result;
    const int second = of(done, 2).result;
    CHECK(first > 0);
    CHECK(first < 200'000);
    CHECK(second > 0);
    sockets.near.close();
    for (std::string part = get(sockets.far.get()); !part.empty(); part = get(sockets.far.get()))
        arrived += part;
    CHECK(arrived.size() == static_cast<std::size_t>(first + second));
    CHECK(runs(arrived) == "AB");
}

TEST_CASE("a_waitall_send_carries_on_after_every_partial_transfer_until_all_is_sent") {
    ring r;
    const auto sockets = tcp_pair(4096);
    const std::string big(100'000, 'A');
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_send(entry, sockets.near.get(), big.data(), big.size(), MSG_WAITALL | MSG_NOSIGNAL);
    entry->flags |= IOSQE_IO_LINK;
    io_uring_prep_send(r.sqe(2), sockets.near.get(), "B", 1, MSG_WAITALL | MSG_NOSIGNAL);
    r.submit();
    std::vector<completion> done;
    CHECK(get_while_driving(r, sockets.far.get(), 100'001, 2, done) == big + "B");
    CHECK(of(done, 1).result == 100'000);
    CHECK(of(done, 2).result == 1);
}

TEST_CASE("a_waitall_send_that_falls_short_breaks_the_chain_and_reports_what_moved_instead_of_the_error") {
    const bool skip_success = GENERATE(false, true);
    CAPTURE(skip_success);
    ring r;
    auto sockets = tcp_pair(4096);
    const std::string big(200'000, 'A');
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_send(entry, sockets.near.get(), big.data(), big.size(), MSG_WAITALL | MSG_NOSIGNAL);
    entry->flags |= IOSQE_IO_LINK;
    if (skip_success) entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_prep_send(r.sqe(2), sockets.near.get(), "B", 1, MSG_WAITALL | MSG_NOSIGNAL);
    r.submit();

    // A socket closed over unread bytes resets its connection.
    REQUIRE(events_now(sockets.far.get(), POLLIN, patience_ms) != 0);
    sockets.far.close();
    const completion broken = r.wait();
    CHECK(broken.user_data == 1);
    CHECK(broken.result > 0);
    CHECK(broken.result < 200'000);
    const auto others = r.fence();
    if (skip_success) {
        CHECK(others.empty());
    } else {
        REQUIRE(others.size() == 1);
        CHECK(of(others, 2).result == -ECANCELED);
    }

    io_uring_prep_send(r.sqe(3), sockets.near.get(), "C", 1, MSG_NOSIGNAL);
    r.submit();
    CHECK(r.wait().result < 0);
}

TEST_CASE("a_chain_that_skips_success_posts_exactly_one_completion_and_it_is_the_last_members") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    ring r(flags);
    r.require_feature(IORING_FEAT_CQE_SKIP, "IOSQE_CQE_SKIP_SUCCESS (5.17)");
    const auto sockets = unix_pair();
    push_chain(r, sockets.near.get(), 16, none, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
    r.submit();
    CHECK(r.wait() == completion{.user_data = 15, .result = 1, .flags = 0});
    CHECK(r.fence().empty());
    CHECK(get_now(sockets.far.get()).size() == 16);
}

TEST_CASE(
    "a_chain_that_skips_success_posts_exactly_one_completion_when_a_member_fails_and_it_is_that_members") {
    const unsigned failing = GENERATE(0U, 1U, 2U, 3U);
    CAPTURE(failing);
    ring r;
    r.require_feature(IORING_FEAT_CQE_SKIP, "IOSQE_CQE_SKIP_SUCCESS (5.17)");
    const auto sockets = unix_pair();
    push_chain(r, sockets.near.get(), 4, failing, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
    r.submit();
    CHECK(r.wait() == completion{.user_data = failing, .result = -EBADF, .flags = 0});
    CHECK(r.fence().empty());
    CHECK(get_now(sockets.far.get()).size() == failing);
}

TEST_CASE("without_skip_every_member_behind_a_failed_one_completes_as_cancelled") {
    ring r;
    const auto sockets = unix_pair();
    push_chain(r, sockets.near.get(), 4, 1, IOSQE_IO_LINK);
    r.submit();
    const auto all = r.wait(4);
    CHECK(of(all, 0).result == 1);
    CHECK(of(all, 1).result == -EBADF);
    CHECK(of(all, 2).result == -ECANCELED);
    CHECK(of(all, 3).result == -ECANCELED);
    CHECK(get_now(sockets.far.get()).size() == 1);
}

TEST_CASE("one_wait_runs_a_whole_chain_that_skips_success_under_deferred_task_work") {
    ring r;
    r.require_feature(IORING_FEAT_CQE_SKIP, "IOSQE_CQE_SKIP_SUCCESS (5.17)");
    const auto sockets = unix_pair();
    push_chain(r, sockets.near.get(), 64, none, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
    REQUIRE(io_uring_submit_and_wait(r.get(), 1) == 64);
    REQUIRE(io_uring_cq_ready(r.get()) == 1);
    CHECK(r.wait().user_data == 63);
}

TEST_CASE("a_chain_complete_at_submission_runs_without_io_wq_threads") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    const auto workers = io_workers_started_by(
        [](ring& r) {
            const auto sockets = unix_pair();
            push_chain(r, sockets.near.get(), 16, none, IOSQE_IO_LINK);
            r.submit();
            CHECK(r.wait(16).size() == 16);
        },
        flags);
    CHECK(workers == 0);
}

TEST_CASE("a_link_flag_on_the_last_sqe_of_a_submission_reaches_nothing_submitted_later") {
    const auto workers = io_workers_started_by([](ring& r) {
        const auto sockets = unix_pair();
        push_chain(r, sockets.near.get(), 2, none, IOSQE_IO_LINK);
        io_uring_sqe* entry = r.sqe(2);
        io_uring_prep_send(entry, -1, "x", 1, MSG_NOSIGNAL);
        entry->flags |= IOSQE_IO_LINK;
        r.submit();
        // Were it linked to the failing send, this one would be cancelled.
        io_uring_prep_send(r.sqe(3), sockets.near.get(), "y", 1, MSG_NOSIGNAL);
        r.submit();
        const auto all = r.wait(4);
        CHECK(of(all, 2).result == -EBADF);
        CHECK(of(all, 3).result == 1);
    });
    if (workers == 0)
        WARN("a trailing link did not go to io-wq; on Linux 6.18 it does, and later sends overtake it");
}
