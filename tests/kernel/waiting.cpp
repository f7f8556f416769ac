// Waiting and being woken: under deferred task work nothing completes until the owner asks.
#include "fixture.hpp"
#include "io_workers.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <csignal>
#include <set>

// Newer than liburing 2.9.
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

using namespace kernel_test;

namespace {

class watch {
  public:
    void add(int fd, std::uint64_t name) const {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = name}};
        REQUIRE(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
    }
    std::set<std::uint64_t> ready(int timeout_ms = 0) const {
        std::array<epoll_event, 8> events{};
        int count = -1;
        do {
            count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
        } while (count < 0 && errno == EINTR);
        std::set<std::uint64_t> names;
        for (int i = 0; i < count; ++i) {
            const std::uint64_t name =
                events[static_cast<std::size_t>(i)].data.u64; // a copy: the struct is packed
            names.insert(name);
        }
        return names;
    }

  private:
    descriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};
};

constexpr std::uint64_t the_ring = 1;
constexpr std::uint64_t the_eventfd = 2;

/// `count` one-byte receives, each on its own pair, all with their byte there.
class ready_receives {
  public:
    ready_receives(ring& r, std::size_t count)
        : bytes_(count) {
        for (std::size_t i = 0; i < count; ++i) {
            sockets_.push_back(unix_pair());
            io_uring_prep_recv(r.sqe(i), sockets_[i].near.get(), &bytes_[i], 1, 0);
        }
        r.submit();
        for (const socket_pair& pair : sockets_) put(pair.far.get(), "x");
    }

  private:
    std::vector<socket_pair> sockets_;
    std::vector<char> bytes_;
};

/// Posts a completion with result 7 from another thread; asserts nothing, for only one thread at a time may.
void post(ring& source, ring& target, std::uint64_t user_data) {
    io_uring_sqe* entry = io_uring_get_sqe(source.get());
    io_uring_prep_msg_ring(entry, target.get()->ring_fd, 7, user_data, 0);
    io_uring_submit_and_wait(source.get(), 1);
    io_uring_cq_advance(source.get(), 1);
}

} // namespace

TEST_CASE("under_deferred_task_work_a_registered_eventfd_wakes_epoll_and_the_rings_own_descriptor_does_not") {
    ring r;
    const descriptor wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    REQUIRE(io_uring_register_eventfd(r.get(), wake.get()) == 0);
    const watch outer;
    outer.add(r.get()->ring_fd, the_ring);
    outer.add(wake.get(), the_eventfd);
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    r.submit();
    CHECK(outer.ready().empty());

    put(sockets.far.get(), "x");
    const auto woken = outer.ready(patience_ms);
    CHECK(woken.contains(the_eventfd));
    if (woken.contains(the_ring))
        WARN("the ring's descriptor woke epoll under DEFER_TASKRUN; up to Linux 6.18 it does not");
    CHECK(io_uring_cq_ready(r.get()) == 0);

    eventfd_t count = 0;
    REQUIRE(eventfd_read(wake.get(), &count) == 0);
    REQUIRE(io_uring_get_events(r.get()) >= 0);
    CHECK(io_uring_cq_ready(r.get()) == 1);
}

TEST_CASE("a_registered_eventfd_is_signalled_again_while_deferred_work_remains") {
    ring r;
    const descriptor wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    REQUIRE(io_uring_register_eventfd(r.get(), wake.get()) == 0);
    const watch outer;
    outer.add(wake.get(), the_eventfd);
    const ready_receives receives(r, 100);
    // One pass for every wake-up, as an embedding loop does it.
    while (io_uring_cq_ready(r.get()) < 100) {
        if (!outer.ready(patience_ms).contains(the_eventfd))
            FAIL("the eventfd stayed silent with work left to run");
        eventfd_t count = 0;
        REQUIRE(eventfd_read(wake.get(), &count) == 0);
        REQUIRE(io_uring_get_events(r.get()) >= 0);
    }
    CHECK(r.reap().size() == 100);
}

TEST_CASE("a_registered_eventfd_is_signalled_for_every_step_of_a_chain_that_skips_its_completions") {
    ring r;
    r.require_feature(IORING_FEAT_CQE_SKIP, "IOSQE_CQE_SKIP_SUCCESS (5.17)");
    const descriptor wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    REQUIRE(io_uring_register_eventfd(r.get(), wake.get()) == 0);
    const watch outer;
    outer.add(wake.get(), the_eventfd);
    const auto sockets = unix_pair();
    for (unsigned i = 0; i < 8; ++i) {
        io_uring_sqe* entry = r.sqe(i);
        io_uring_prep_send(entry, sockets.near.get(), "x", 1, MSG_NOSIGNAL);
        if (i < 7) entry->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    }
    r.submit();
    while (io_uring_cq_ready(r.get()) == 0) {
        if (!outer.ready(patience_ms).contains(the_eventfd))
            FAIL("the eventfd stayed silent halfway down a chain");
        eventfd_t count = 0;
        REQUIRE(eventfd_read(wake.get(), &count) == 0);
        REQUIRE(io_uring_get_events(r.get()) >= 0);
    }
    CHECK(r.wait().user_data == 7);
}

// How a sleeping executor is woken: the event's count grows, and nobody resets it.
TEST_CASE(
    "a_multishot_poll_tells_each_signal_of_an_eventfd_that_nobody_reads_and_first_of_all_an_earlier_one") {
    const unsigned mode = GENERATE(ring::cooperative, ring::deferred);
    CAPTURE(mode);
    ring r(mode);
    const descriptor wake(eventfd(0, EFD_CLOEXEC));
    const bool signalled_before = GENERATE(false, true);
    if (signalled_before) REQUIRE(eventfd_write(wake.get(), 1) == 0);
    io_uring_prep_poll_multishot(r.sqe(the_eventfd), wake.get(), POLLIN);
    r.submit();
    if (signalled_before) {
        const completion earlier = r.wait();
        CHECK(earlier.result == POLLIN);
        CHECK(earlier.more());
    }
    for (int signal = 0; signal < 3; ++signal) {
        CHECK(r.reap().empty()); // it is the edge that counts
        REQUIRE(eventfd_write(wake.get(), 1) == 0);
        const completion told = r.wait();
        CHECK(told.user_data == the_eventfd);
        CHECK(told.result == POLLIN);
        CHECK(told.more());
    }
}

TEST_CASE("without_deferred_task_work_the_rings_own_descriptor_wakes_epoll") {
    ring r(ring::cooperative);
    const watch outer;
    outer.add(r.get()->ring_fd, the_ring);
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    r.submit();
    CHECK(outer.ready().empty());
    put(sockets.far.get(), "x");
    CHECK(outer.ready(patience_ms).contains(the_ring));
}

TEST_CASE("cooperative_task_work_is_run_by_any_system_call_and_deferred_by_none_even_if_both_are_asked_for") {
    const unsigned mode =
        GENERATE(ring::cooperative, ring::deferred, ring::deferred | IORING_SETUP_COOP_TASKRUN);
    CAPTURE(mode);
    ring r(mode);
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    r.submit();
    put(sockets.far.get(), "x");
    ::getppid();
    CHECK(io_uring_cq_ready(r.get()) == (mode == ring::cooperative ? 1 : 0));
    CHECK(r.wait().result == 1);
}

TEST_CASE("an_enter_that_waits_for_n_runs_at_least_n_of_the_deferred_completions_that_are_there") {
    const unsigned wanted = GENERATE(1U, 20U, 32U, 64U);
    CAPTURE(wanted);
    ring r;
    const ready_receives receives(r, 64);
    REQUIRE(io_uring_submit_and_wait(r.get(), wanted) >= 0);
    CHECK(io_uring_cq_ready(r.get()) >= std::max(wanted, 20U));
    CHECK(r.reap().size() == 64);
}

TEST_CASE("the_taskrun_flag_stays_up_until_all_deferred_work_is_done") {
    const bool chain = GENERATE(false, true);
    CAPTURE(chain);
    ring r(ring::deferred | IORING_SETUP_TASKRUN_FLAG);
    const auto sockets = unix_pair();
    std::unique_ptr<ready_receives> receives;
    if (chain) {
        r.require_feature(IORING_FEAT_CQE_SKIP, "IOSQE_CQE_SKIP_SUCCESS (5.17)");
        for (unsigned i = 0; i < 64; ++i) {
            io_uring_sqe* entry = r.sqe(i);
            io_uring_prep_send(entry, sockets.near.get(), "x", 1, MSG_NOSIGNAL);
            if (i < 63) entry->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        }
        r.submit();
    } else {
        receives = std::make_unique<ready_receives>(r, 64);
    }
    while ((*r.get()->sq.kflags & IORING_SQ_TASKRUN) != 0) REQUIRE(io_uring_get_events(r.get()) >= 0);
    CHECK(io_uring_cq_ready(r.get()) == (chain ? 1 : 64));
}

TEST_CASE("a_wait_for_one_returns_at_once_when_a_submitted_operation_completes_inline") {
    ring r;
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    io_uring_prep_send(r.sqe(2), sockets.near.get(), "x", 1, MSG_NOSIGNAL);
    REQUIRE(io_uring_submit_and_wait(r.get(), 1) == 2);
    REQUIRE(io_uring_cq_ready(r.get()) == 1);
    CHECK(r.wait() == completion{.user_data = 2, .result = 1, .flags = 0});
}

TEST_CASE("a_message_from_another_ring_wakes_a_wait_for_one") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    ring target(flags);
    target.require_opcode(IORING_OP_MSG_RING, "IORING_OP_MSG_RING (5.18)");
    ring source(0U);
    std::thread sender([&] { post(source, target, 42); });
    const completion c = target.wait();
    sender.join();
    CHECK(c == completion{.user_data = 42, .result = 7, .flags = 0});
}

TEST_CASE("a_wait_for_two_sleeps_through_the_first_message_and_ends_with_the_second") {
    ring target;
    target.require_opcode(IORING_OP_MSG_RING, "IORING_OP_MSG_RING (5.18)");
    ring source(0U);
    std::thread sender([&] {
        post(source, target, 1);
        post(source, target, 2);
    });
    __kernel_timespec limit{.tv_sec = patience_ms / 1000, .tv_nsec = 0};
    io_uring_cqe* cqe = nullptr;
    const int result = io_uring_submit_and_wait_timeout(target.get(), &cqe, 2, &limit, nullptr);
    const unsigned ready = io_uring_cq_ready(target.get());
    sender.join();
    CHECK(result >= 0);
    CHECK(ready == 2);
}

TEST_CASE("a_wait_for_two_with_a_minimum_time_ends_with_one_completion_instead_of_the_timeout") {
    ring r;
    r.require_feature(IORING_FEAT_MIN_TIMEOUT, "IORING_FEAT_MIN_TIMEOUT (6.12)");
    const auto started = std::chrono::steady_clock::now();
    r.sqe(1);
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec limit{.tv_sec = patience_ms / 1000, .tv_nsec = 0};
    constexpr unsigned minimum_us = 1000;
    CHECK(io_uring_submit_and_wait_min_timeout(r.get(), &cqe, 2, &limit, minimum_us, nullptr) >= 0);
    CHECK(io_uring_cq_ready(r.get()) == 1);
    CHECK(std::chrono::steady_clock::now() - started < std::chrono::milliseconds(patience_ms));
}

TEST_CASE("a_wait_may_ask_not_to_count_as_iowait") {
    ring r;
    r.require_feature(IORING_FEAT_NO_IOWAIT, "IORING_FEAT_NO_IOWAIT (6.15)");
    r.sqe(1);
    r.submit();
    const unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_NO_IOWAIT;
    CHECK(io_uring_enter(static_cast<unsigned>(r.get()->ring_fd), 0, 1, flags, nullptr) == 0);
    CHECK(r.wait().user_data == 1);
}

TEST_CASE("a_signal_ends_a_wait_with_eintr_and_the_operations_in_flight_stay") {
    ring r;
    struct sigaction quiet{};
    quiet.sa_handler = [](int) {};
    // Never taken back: a signal may still be on its way when the test ends.
    REQUIRE(sigaction(SIGUSR1, &quiet, nullptr) == 0);
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    r.submit();

    // Signals keep coming until one meets the wait.
    std::atomic<bool> interrupted = false;
    std::thread interrupter([&interrupted, waiting = pthread_self()] {
        while (!interrupted) {
            pthread_kill(waiting, SIGUSR1);
            std::this_thread::yield();
        }
    });
    __kernel_timespec limit{.tv_sec = patience_ms / 1000, .tv_nsec = 0};
    io_uring_cqe* cqe = nullptr;
    const int error = io_uring_wait_cqe_timeout(r.get(), &cqe, &limit);
    interrupted = true;
    interrupter.join();
    CHECK(error == -EINTR);
    put(sockets.far.get(), "x");
    CHECK(r.wait() == completion{.user_data = 1, .result = 1, .flags = 0});
}

TEST_CASE("a_read_of_a_blocking_eventfd_waits_in_poll_and_not_on_an_io_wq_thread") {
    const auto workers = io_workers_started_by([](ring& r) {
        const descriptor counter(eventfd(0, EFD_CLOEXEC));
        eventfd_t value = 0;
        io_uring_prep_read(r.sqe(1), counter.get(), &value, sizeof value, 0);
        r.submit();
        CHECK(r.fence().empty());
        REQUIRE(eventfd_write(counter.get(), 3) == 0);
        CHECK(r.wait().result == sizeof value);
        CHECK(value == 3);
    });
    CHECK(workers == 0);
}
