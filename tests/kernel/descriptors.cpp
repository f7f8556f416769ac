// Descriptors under operations in flight: when they are looked up, what a close does and does not do.
#include "fixture.hpp"
#include "io_workers.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <netinet/tcp.h>

using namespace kernel_test;

namespace {

/// The state of a TCP socket as the kernel sees it.
int tcp_state(int socket) {
    tcp_info info{};
    socklen_t length = sizeof info;
    REQUIRE(getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
    return info.tcpi_state;
}

} // namespace

TEST_CASE("a_linked_member_looks_its_descriptor_up_when_it_runs_so_a_reused_number_gets_the_bytes") {
    ring r;
    const auto gate = unix_pair();
    auto meant = unix_pair();
    const auto reused = unix_pair();
    char byte = 0;
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv(entry, gate.near.get(), &byte, 1, 0);
    entry->flags |= IOSQE_IO_LINK;
    io_uring_prep_send(r.sqe(2), meant.near.get(), "secret", 6, MSG_NOSIGNAL);
    r.submit();
    REQUIRE(dup2(reused.near.get(), meant.near.get()) == meant.near.get());
    put(gate.far.get(), "g");
    CHECK(of(r.wait(2), 2).result == 6);
    if (get_now(meant.far.get()) == "secret") {
        WARN("a linked member kept the file its number meant at submission; Linux 5.17 to 6.18 look it up "
             "late");
    } else {
        CHECK(get_now(reused.far.get()) == "secret");
    }
}

TEST_CASE("a_linked_member_looks_its_direct_descriptor_up_when_it_runs") {
    ring r;
    const auto gate = unix_pair();
    const auto meant = unix_pair();
    const auto reused = unix_pair();
    const int table[1] = {meant.near.get()};
    REQUIRE(io_uring_register_files(r.get(), table, 1) == 0);
    char byte = 0;
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv(entry, gate.near.get(), &byte, 1, 0);
    entry->flags |= IOSQE_IO_LINK;
    entry = r.sqe(2);
    io_uring_prep_send(entry, 0, "secret", 6, MSG_NOSIGNAL);
    entry->flags |= IOSQE_FIXED_FILE;
    r.submit();
    const int replacement[1] = {reused.near.get()};
    REQUIRE(io_uring_register_files_update(r.get(), 0, replacement, 1) == 1);
    put(gate.far.get(), "g");
    CHECK(of(r.wait(2), 2).result == 6);
    if (get_now(meant.far.get()) == "secret") {
        WARN("a linked member kept its direct descriptor of submission time; Linux 6.18 looks it up late");
    } else {
        CHECK(get_now(reused.far.get()) == "secret");
    }
}

TEST_CASE("an_operation_in_flight_keeps_its_own_file_when_the_number_is_reused") {
    ring r;
    auto sockets = unix_pair();
    const auto reused = unix_pair();
    std::array<char, 16> room{};
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), room.data(), room.size(), 0);
    r.submit();
    REQUIRE(dup2(reused.near.get(), sockets.near.get()) == sockets.near.get());
    put(reused.far.get(), "wrong");
    CHECK(r.fence().empty());
    put(sockets.far.get(), "right");
    CHECK(r.wait().result == 5);
    CHECK(std::string(room.data(), 5) == "right");
}

TEST_CASE("closing_a_stream_by_the_ring_needs_no_io_wq_thread") {
    const bool tcp = GENERATE(false, true);
    const auto workers = io_workers_started_by([tcp](ring& r) {
        const auto sockets = tcp ? tcp_pair() : unix_pair();
        io_uring_prep_close(r.sqe(1), dup(sockets.near.get()));
        r.submit();
        CHECK(r.wait().result == 0);
    });
    CHECK(workers == 0);
}

TEST_CASE("shutting_down_by_the_ring_works_but_may_cost_an_io_wq_thread") {
    const auto workers = io_workers_started_by([](ring& r) {
        r.require_opcode(IORING_OP_SHUTDOWN, "IORING_OP_SHUTDOWN (5.11)");
        const auto sockets = unix_pair();
        io_uring_prep_shutdown(r.sqe(1), sockets.near.get(), SHUT_WR);
        r.submit();
        CHECK(r.wait().result == 0);
        CHECK(get(sockets.far.get()).empty());
    });
    if (workers == 0) WARN("IORING_OP_SHUTDOWN ran without io-wq; up to Linux 6.18 it always needs a thread");
}

TEST_CASE("closing_a_unix_stream_with_a_receive_in_flight_ends_nothing") {
    ring r;
    auto sockets = unix_pair();
    std::array<char, 16> room{};
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), room.data(), room.size(), 0);
    r.submit();
    sockets.near.close();
    CHECK(r.fence().empty());
    CHECK((events_now(sockets.far.get(), POLLIN | POLLRDHUP) & (POLLIN | POLLHUP | POLLRDHUP)) == 0);
    put(sockets.far.get(), "still here");
    CHECK(r.wait().result == 10);
    // The last reference is gone with the operation.
    CHECK(get(sockets.far.get()).empty());
}

TEST_CASE("closing_a_tcp_stream_with_a_receive_in_flight_sends_no_fin_and_data_still_arrives") {
    ring r;
    buffer_ring buffers(r, 8, 64);
    auto sockets = tcp_pair();
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv_multishot(entry, sockets.near.get(), nullptr, 0, 0);
    buffers.select(entry);
    r.submit();
    sockets.near.close();
    // Had the close sent a FIN, the peer would have it long before its own messages have been answered for.
    for (const char* text : {"still", "alive"}) {
        put(sockets.far.get(), text);
        const completion c = r.wait();
        CHECK(c.more());
        CHECK(buffers.text(c) == text);
        CHECK(tcp_state(sockets.far.get()) == TCP_ESTABLISHED);
    }
}

TEST_CASE("shutdown_then_cancel_then_the_last_completion_then_close_ends_a_connection_for_both_sides") {
    const bool tcp = GENERATE(false, true);
    CAPTURE(tcp);
    ring r;
    buffer_ring buffers(r, 8, 64);
    auto sockets = tcp ? tcp_pair(4096) : unix_pair(SOCK_STREAM, 8192);
    const std::string big(200'000, 'A');
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv_multishot(entry, sockets.near.get(), nullptr, 0, 0);
    buffers.select(entry);
    io_uring_prep_send(r.sqe(2), sockets.near.get(), big.data(), big.size(), MSG_WAITALL | MSG_NOSIGNAL);
    r.submit();

    REQUIRE(shutdown(sockets.near.get(), SHUT_RDWR) == 0);
    io_uring_prep_cancel_fd(r.sqe(3), sockets.near.get(), IORING_ASYNC_CANCEL_ALL);
    r.submit();
    const auto all = r.wait(3);
    CHECK(of(all, 1).result <= 0);
    CHECK_FALSE(of(all, 1).more());
    const int moved = of(all, 2).result;
    CHECK(moved < 200'000);
    const int cancelled = of(all, 3).result;
    CHECK((cancelled >= 0 || cancelled == -ENOENT || cancelled == -EALREADY));
    CHECK(r.fence().empty());
    sockets.near.close();

    std::string arrived;
    for (std::string part = get(sockets.far.get()); !part.empty(); part = get(sockets.far.get()))
        arrived += part;
    CHECK(arrived.size() == static_cast<std::size_t>(std::max(moved, 0)));
}

TEST_CASE("a_ring_operation_on_a_non_blocking_socket_waits_like_on_any_other") {
    ring r;
    const auto sockets = unix_pair(SOCK_STREAM | SOCK_NONBLOCK, 8192);
    const std::size_t filled = fill(sockets.near.get());
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    io_uring_prep_send(r.sqe(2), sockets.near.get(), "x", 1, MSG_NOSIGNAL);
    r.submit();
    CHECK(r.fence().empty());
    put(sockets.far.get(), "y");
    CHECK(r.wait() == completion{.user_data = 1, .result = 1, .flags = 0});
    std::vector<completion> done;
    const std::string arrived = get_while_driving(r, sockets.far.get(), filled + 1, 1, done);
    CHECK(arrived.back() == 'x');
    CHECK(of(done, 2).result == 1);
}

TEST_CASE("msg_dontwait_makes_a_ring_operation_fail_instead_of_wait") {
    ring r;
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, MSG_DONTWAIT);
    r.submit();
    CHECK(r.wait() == completion{.user_data = 1, .result = -EAGAIN, .flags = 0});
}
