// The simulated kernel without a runtime above it: the rules of Linux that a library can stumble over. Each has its
// counterpart on the real kernel under tests/kernel.
#include "bare_ring.hpp"

#include <set>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

constexpr sim::faults narrow{.buffer = 4096};

// The letters in the order in which they first appear.
std::string runs(const std::string& text) {
    std::string letters;
    for (const char each : text)
        if (letters.empty() || letters.back() != each) letters += each;
    return letters;
}

} // namespace

TEST_CASE("a_chain_of_short_sends_without_waitall_leaves_a_hole_in_the_stream") {
    sim::world world(1, narrow);
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
    const std::string first(6000, 'A');
    const std::string second(1000, 'B');
    ring.send(1, near, first, MSG_NOSIGNAL).flags |= IOSQE_IO_LINK;
    ring.send(2, near, second, MSG_NOSIGNAL);
    const auto before = ring.run(1);
    CHECK(before == std::vector<completed>{{1, 4096, false}});
    const std::string arrived = ring.receive(far);
    CHECK(ring.run(1) == std::vector<completed>{{2, 1000, false}});
    CHECK(runs(arrived + ring.receive(far)) == "AB");
    CHECK(arrived.size() < first.size());
}

TEST_CASE("a_send_with_waitall_that_may_not_wait_falls_short_and_ends_its_chain") {
    sim::world world(1, narrow);
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
    const int flags = MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL;
    const std::string first(6000, 'A');
    const std::string second(1000, 'B');
    ring.send(1, near, first, flags).flags |= IOSQE_IO_LINK;
    ring.send(2, near, second, flags);
    CHECK(ring.run(2) == std::vector<completed>{{1, 4096, false}, {2, -ECANCELED, false}});
    CHECK(runs(ring.receive(far)) == "A");
}

TEST_CASE("a_send_with_waitall_carries_on_until_all_is_sent_and_its_chain_goes_on_behind_it") {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed);
        if (world.knobs().buffer > 4096) continue;
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
        const std::string first(20'000, 'A');
        const std::string second(1000, 'B');
        ring.send(1, near, first, MSG_WAITALL | MSG_NOSIGNAL).flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        ring.send(2, near, second, MSG_WAITALL | MSG_NOSIGNAL);
        CHECK(ring.run().empty());
        std::string arrived;
        std::vector<completed> done;
        while (arrived.size() < 21'000) {
            std::string part(4000, '\0');
            io_uring_prep_recv(&ring.sqe(3), far, part.data(), part.size(), 0);
            for (bool received = false; !received;) {
                for (const completed& each : ring.run(1)) {
                    if (each.user_data != 3) {
                        done.push_back(each);
                        continue;
                    }
                    REQUIRE(each.result > 0);
                    received = true;
                    arrived.append(part, 0, static_cast<std::size_t>(each.result));
                }
            }
        }
        CHECK(arrived == first + second);
        if (done.empty()) done = ring.run(1);
        CHECK(done == std::vector<completed>{{2, 1000, false}});
    }
}

TEST_CASE("unlinked_sends_on_a_full_socket_go_out_in_any_order_and_linked_ones_in_theirs") {
    for (const bool linked : {false, true}) {
        std::set<std::string> orders;
        for (std::uint64_t seed = 0; seed < 50; ++seed) {
            sim::world world(seed, narrow);
            bare_ring ring(world);
            const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
            const std::string filling(4096, '.');
            ring.send(9, near, filling, MSG_NOSIGNAL);
            ring.run(1);
            const std::string messages[] = {
                std::string(100, 'A'), std::string(100, 'B'), std::string(100, 'C')};
            for (std::uint64_t at = 0; at < 3; ++at) {
                io_uring_sqe& entry = ring.send(at, near, messages[at], MSG_WAITALL | MSG_NOSIGNAL);
                if (linked && at != 2) entry.flags |= IOSQE_IO_LINK;
            }
            CHECK(ring.run().empty());
            CHECK(ring.receive(far).size() == 4096);
            ring.run();
            orders.insert(runs(ring.receive(far)));
        }
        if (linked)
            CHECK(orders == std::set<std::string>{"ABC"});
        else
            CHECK(orders.size() == 6);
    }
}

TEST_CASE("a_chain_that_skips_success_has_one_completion_wherever_it_fails") {
    for (int failing = 0; failing < 4; ++failing) {
        sim::world world(1, {});
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_SEQPACKET);
        const std::string text = "x";
        for (int at = 0; at < 4; ++at) {
            io_uring_sqe& entry =
                ring.send(static_cast<std::uint64_t>(at), at == failing ? -1 : near, text, MSG_NOSIGNAL);
            if (at != 3) entry.flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        }
        CHECK(ring.run(1) == std::vector<completed>{{static_cast<std::uint64_t>(failing), -EBADF, false}});
        CHECK(ring.run().empty());
    }
}

TEST_CASE("a_cancel_has_three_answers_and_the_target_says_itself_what_it_did") {
    std::set<int> answers;
    std::set<int> outcomes;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        sim::world world(seed, {.elusive = 300});
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
        char room[8];
        io_uring_prep_recv(&ring.sqe(1), near, room, sizeof room, 0);
        ring.run();
        const std::string text = "data";
        ring.send(2, far, text, MSG_NOSIGNAL);
        io_uring_prep_cancel64(&ring.sqe(3), 1, 0);
        int received = 0;
        int answer = 1;
        while (received == 0 || answer == 1)
            for (const completed& each : ring.run(1)) {
                if (each.user_data == 1) received = each.result;
                if (each.user_data == 3) answer = each.result;
            }
        answers.insert(answer);
        outcomes.insert(received);
        // What was not received is still there.
        CHECK(ring.receive(near) == (received > 0 ? "" : "data"));
        if (answer == -ENOENT) CHECK(received == 4);
        if (answer == 0) CHECK(received == -ECANCELED);
    }
    CHECK(answers == std::set<int>{-EALREADY, -ENOENT, 0});
    CHECK(outcomes == std::set<int>{-ECANCELED, -EINTR, 4});
}

TEST_CASE("a_later_member_of_a_chain_is_not_found_by_cancel_and_the_head_takes_all_with_it") {
    sim::world world(1, {});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
    char room[2];
    for (std::uint64_t member : {1, 2}) {
        io_uring_sqe& entry = ring.sqe(member);
        io_uring_prep_recv(&entry, near, &room[member - 1], 1, 0);
        if (member == 1) entry.flags |= IOSQE_IO_LINK;
    }
    io_uring_prep_cancel64(&ring.sqe(8), 2, 0);
    CHECK(ring.run(1) == std::vector<completed>{{8, -ENOENT, false}});
    io_uring_prep_cancel64(&ring.sqe(9), 1, 0);
    std::set<std::uint64_t> cancelled;
    for (const completed& each : ring.run(3))
        if (each.user_data != 9) {
            CHECK(each.result == -ECANCELED);
            cancelled.insert(each.user_data);
        }
    CHECK(cancelled == std::set<std::uint64_t>{1, 2});
}

TEST_CASE("a_descriptor_number_is_reused_at_once_lowest_first") {
    sim::world world(1, {});
    sim::simulated_kernel kernel(world);
    const int first = kernel.open_socket(AF_INET, SOCK_STREAM, 0);
    const int second = kernel.open_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(kernel.close(first) == 0);
    CHECK(kernel.close(first) == -EBADF);
    CHECK(kernel.open_socket(AF_INET, SOCK_STREAM, 0) == first);
    CHECK(kernel.open_socket(AF_INET, SOCK_STREAM, 0) == second + 1);
    kernel.limit_descriptors(3);
    CHECK(kernel.open_socket(AF_INET, SOCK_STREAM, 0) == -EMFILE);
}

TEST_CASE("a_close_with_a_receive_in_flight_ends_nothing_and_tells_the_peer_nothing") {
    sim::world world(1, {});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
    char room[8];
    io_uring_prep_recv(&ring.sqe(1), near, room, sizeof room, 0);
    io_uring_prep_close(&ring.sqe(2), near);
    char other[8];
    io_uring_prep_recv(&ring.sqe(3), far, other, sizeof other, 0);
    CHECK(ring.run(1) == std::vector<completed>{{2, 0, false}});
    CHECK(ring.run().empty());
    io_uring_prep_cancel64(&ring.sqe(4), 1, 0);
    const auto all = ring.run(3);
    CHECK(std::ranges::count(all, completed{1, -ECANCELED, false}) == 1);
    CHECK(std::ranges::count(all, completed{3, 0, false}) == 1);
}

TEST_CASE("a_socket_closed_over_unread_bytes_resets_its_connection") {
    sim::world world(1, {});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
    const std::string text = "unread";
    ring.send(1, near, text, MSG_NOSIGNAL);
    ring.run(1);
    char room[8];
    io_uring_prep_recv(&ring.sqe(2), near, room, sizeof room, 0);
    io_uring_prep_close(&ring.sqe(3), far);
    CHECK(ring.run(2) == std::vector<completed>{{3, 0, false}, {2, -ECONNRESET, false}});
    ring.send(4, near, text, MSG_NOSIGNAL);
    CHECK(ring.run(1) == std::vector<completed>{{4, -EPIPE, false}});
}

TEST_CASE("ports_that_the_kernel_chooses_come_round_and_leave_out_those_in_use") {
    sim::world world(1, sim::faults{});
    sim::simulated_kernel kernel(world);
    const endpoint anywhere("127.0.0.1", 0);
    const auto bound = [&] {
        const int made = kernel.open_socket(AF_INET, SOCK_DGRAM, 0);
        REQUIRE(kernel.bind(made, anywhere.address(), anywhere.length()) == 0);
        sockaddr_in at{};
        socklen_t length = sizeof at;
        kernel.local_address(made, reinterpret_cast<sockaddr*>(&at), length);
        return std::pair(made, static_cast<unsigned>(ntohs(at.sin_port)));
    };
    const auto [held, first] = bound();
    for (int round = 0; round < 30'000; ++round) {
        const auto [made, port] = bound();
        if (port < 32'768 || port > 60'999 || port == first) FAIL("port " << port);
        kernel.close(made);
    }
    kernel.close(held);
}

TEST_CASE("a_wait_for_several_completions_ends_with_them_or_after_its_time_with_one_and_if_none_comes_with_"
          "its_timeout") {
    sim::world world(1, {});
    bare_ring ring(world);
    const auto enter = [&](unsigned operations, const enter_wait& wait) {
        for (unsigned count = 0; count < operations; ++count) io_uring_prep_nop(&ring.sqe(count + 1));
        io_uring_smp_store_release(ring.native().sq.ktail, ring.native().sq.sqe_tail);
        ring.native().sq.sqe_head = ring.native().sq.sqe_tail;
        const time_point before = world.now();
        const int returned = ring.kernel.enter(ring.native(), operations, wait, 0);
        CHECK(io_uring_cq_ready(&ring.native()) == operations);
        io_uring_cq_advance(&ring.native(), operations);
        return std::pair(returned, world.now() - before);
    };
    const __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
    CHECK(enter(2, {.completions = 2, .for_all = 50us}) == std::pair(2, duration(0us)));
    CHECK(enter(1, {.completions = 2, .for_all = 50us}) == std::pair(1, duration(50us)));
    CHECK(
        enter(0, {.completions = 2, .for_all = 50us, .timeout = &limit}) == std::pair(-ETIME, duration(1s)));
    CHECK(enter(0, {.completions = 2, .for_all = 50us}) == std::pair(-ETIME, duration(50us))); // it has none
}
