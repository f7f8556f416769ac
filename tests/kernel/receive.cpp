// Multishot receives into provided buffers: what they deliver, and all the ways in which they end.
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>

#include <set>

using namespace kernel_test;

namespace {

void arm(ring& r, const buffer_ring& buffers, int socket, std::uint64_t user_data) {
    io_uring_sqe* entry = r.sqe(user_data);
    io_uring_prep_recv_multishot(entry, socket, nullptr, 0, 0);
    buffers.select(entry);
    r.submit();
}

} // namespace

TEST_CASE("a_multishot_receive_says_more_as_long_as_it_stays_armed") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    ring r(flags);
    buffer_ring buffers(r, 8, 64);
    const auto sockets = unix_pair();
    arm(r, buffers, sockets.near.get(), 1);
    for (const char* text : {"one", "two", "three"}) {
        put(sockets.far.get(), text);
        const completion c = r.wait();
        CHECK(c.more());
        CHECK(buffers.text(c) == text);
    }
}

TEST_CASE("an_idle_multishot_receive_holds_no_buffer") {
    ring r;
    buffer_ring buffers(r, 8, 64);
    const auto sockets = unix_pair();
    arm(r, buffers, sockets.near.get(), 1);
    CHECK(r.fence().empty());
    CHECK(buffers.available().value_or(8) == 8);
}

TEST_CASE("a_multishot_receive_without_buffers_ends_with_enobufs_and_the_data_stays_in_the_socket") {
    ring r;
    buffer_ring buffers(r, 2, 16);
    const auto sockets = unix_pair();
    arm(r, buffers, sockets.near.get(), 1);
    put(sockets.far.get(), std::string(16, 'a') + std::string(16, 'b') + "rest");

    const auto all = r.wait(3);
    CHECK(all[0].more());
    CHECK(buffers.text(all[0]) == std::string(16, 'a'));
    CHECK(all[1].more());
    CHECK(buffers.text(all[1]) == std::string(16, 'b'));
    CHECK(all[2] == completion{.user_data = 1, .result = -ENOBUFS, .flags = 0});

    buffers.give_back(all[0].buffer());
    arm(r, buffers, sockets.near.get(), 2);
    const completion rest = r.wait();
    CHECK(rest.user_data == 2);
    CHECK(rest.buffer() == all[0].buffer());
    CHECK(buffers.text(rest) == "rest");
}

TEST_CASE("a_multishot_receive_armed_while_no_buffer_is_left_ends_with_enobufs_before_any_data_comes") {
    ring r;
    buffer_ring buffers(r, 1, 16);
    const auto sockets = unix_pair();
    put(sockets.far.get(), "x");
    arm(r, buffers, sockets.near.get(), 1);
    REQUIRE(r.wait().more());

    const auto others = unix_pair();
    arm(r, buffers, others.near.get(), 2);
    CHECK(r.wait() == completion{.user_data = 2, .result = -ENOBUFS, .flags = 0});
}

TEST_CASE("a_multishot_receive_ends_with_zero_at_the_end_of_the_stream_behind_all_data") {
    const bool tcp = GENERATE(false, true);
    CAPTURE(tcp);
    ring r;
    buffer_ring buffers(r, 8, 64);
    auto sockets = tcp ? tcp_pair() : unix_pair();
    arm(r, buffers, sockets.near.get(), 1);
    put(sockets.far.get(), "last words");
    sockets.far.close();

    std::string text;
    completion c = r.wait();
    for (; c.more(); c = r.wait()) text += buffers.text(c);
    CHECK(c.result == 0);
    CHECK(text == "last words");
    CHECK(r.fence().empty());
}

TEST_CASE("a_multishot_receive_ends_with_the_error_when_the_peer_resets") {
    ring r;
    buffer_ring buffers(r, 8, 64);
    auto sockets = tcp_pair();
    arm(r, buffers, sockets.near.get(), 1);
    const linger reset{.l_onoff = 1, .l_linger = 0};
    REQUIRE(setsockopt(sockets.far.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    sockets.far.close();
    const completion c = r.wait();
    CHECK(c.result == -ECONNRESET);
    CHECK_FALSE(c.more());
    CHECK(buffers.available().value_or(c.has_buffer() ? 7U : 8U) == (c.has_buffer() ? 7U : 8U));
}

TEST_CASE("a_multishot_receive_ends_when_the_completion_queue_is_full_and_loses_nothing") {
    ring r(ring::deferred, 8, 8);
    buffer_ring buffers(r, 32, 16);
    const auto sockets = unix_pair(SOCK_SEQPACKET);
    arm(r, buffers, sockets.near.get(), 1);
    std::string sent;
    for (char letter = 'a'; letter < 'a' + 20; ++letter) {
        put(sockets.far.get(), std::string(1, letter));
        sent += letter;
    }
    io_uring_get_events(r.get());
    CHECK(io_uring_cq_ready(r.get()) == 8);

    const auto all = r.reap();
    std::string received;
    for (const completion& c : all) received += buffers.text(c);
    REQUIRE_FALSE(all.empty());
    if (all.back().more())
        WARN("a full completion queue did not end a multishot receive; on Linux 6.18 it does");
    for (std::string left = get_now(sockets.near.get()); !left.empty(); left = get_now(sockets.near.get())) {
        received += left;
    }
    CHECK(received == sent);
}

TEST_CASE("every_buffer_that_a_multishot_receive_takes_is_named_by_exactly_one_completion") {
    ring r;
    constexpr unsigned count = 16;
    buffer_ring buffers(r, count, 32);
    const auto sockets = unix_pair(SOCK_SEQPACKET);
    arm(r, buffers, sockets.near.get(), 1);
    std::set<unsigned> out;
    for (unsigned i = 0; i < count; ++i) {
        put(sockets.far.get(), std::to_string(i));
        const completion c = r.wait();
        CHECK(buffers.text(c) == std::to_string(i));
        CHECK(out.insert(c.buffer()).second);
    }
    CHECK(out.size() == count);
    CHECK(buffers.available().value_or(0) == 0);
}

TEST_CASE("a_multishot_receive_with_much_to_deliver_does_not_keep_other_sockets_from_completing") {
    ring r;
    buffer_ring buffers(r, 256, 16);
    const auto busy = unix_pair();
    const auto quiet = unix_pair();
    char byte = 0;
    io_uring_prep_recv(r.sqe(2), quiet.near.get(), &byte, 1, 0);
    arm(r, buffers, busy.near.get(), 1);
    put(busy.far.get(), std::string(2048, 'x'));
    put(quiet.far.get(), "y");
    const auto all = r.wait(129);
    CHECK(of(all, 2).result == 1);
    CHECK(byte == 'y');
    CHECK(std::ranges::count(all, 1U, &completion::user_data) == 128);
}
