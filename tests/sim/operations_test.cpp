// The simulated kernel without a runtime above it: notifications, direct descriptors, hard links, chains that are cut,
// and datagrams. Each has its counterpart on the real kernel under tests/kernel.
#include "bare_ring.hpp"
#include "last_words.hpp"

#include <set>

using namespace chainring;
using namespace chainring::test;

namespace {

io_uring_sqe& send_without_copy(bare_ring& ring, std::uint64_t user_data, int to, const std::string& bytes) {
    io_uring_sqe& entry = ring.sqe(user_data);
    io_uring_prep_send_zc(
        &entry, to, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL, IORING_SEND_ZC_REPORT_USAGE);
    return entry;
}

// A client that is on its way to a listener's backlog.
int connecting_client(bare_ring& ring, std::uint64_t user_data, const sockaddr_in& to) {
    const int client = ring.kernel.open_socket(AF_INET, SOCK_STREAM, 0);
    io_uring_prep_connect(&ring.sqe(user_data), client, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return client;
}

int listening_socket(bare_ring& ring, sockaddr_in& at) {
    const int listener = ring.kernel.open_socket(AF_INET, SOCK_STREAM, 0);
    at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(7000);
    REQUIRE(ring.kernel.bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(ring.kernel.listen(listener, 10) == 0);
    return listener;
}

} // namespace

TEST_CASE("a_zero_copy_send_completes_and_then_notifies_that_its_memory_is_free") {
    sim::world world(1, {});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
    const std::string text = "message";
    send_without_copy(ring, 1, near, text);
    const auto all = ring.run(2);
    REQUIRE(all.size() == 2);
    CHECK(all[0] == completed{1, 7, true});
    CHECK((all[1].notification && !all[1].more));
    CHECK(ring.receive(far) == "message");
}

TEST_CASE("a_late_notification_comes_when_the_peer_has_read_even_if_the_sender_is_closed_by_then") {
    sim::world world(1, {.late_notification = 1000});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
    const std::string text = "message";
    send_without_copy(ring, 1, near, text);
    CHECK(ring.run(1) == std::vector<completed>{{1, 7, true}});
    io_uring_prep_close(&ring.sqe(2), near);
    CHECK(ring.run(1) == std::vector<completed>{{2, 0}});
    CHECK(ring.run().empty());
    CHECK(ring.receive(far) == "message");
    CHECK(ring.run(1) == std::vector<completed>{{1, 0, false, true}});
}

TEST_CASE("memory_of_a_zero_copy_send_that_changes_before_the_notification_fails_the_world") {
    const std::string text = last_words([] {
        sim::world world(1, {.late_notification = 1000});
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
        std::string bytes = "message";
        send_without_copy(ring, 1, near, bytes);
        ring.run(1);
        bytes[0] = 'M';
        ring.receive(far);
        ring.run(1);
    });
    CHECK(text.contains("changed before its notification"));
}

TEST_CASE("a_cancel_does_not_find_a_notification") {
    sim::world world(1, {.late_notification = 1000});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
    const std::string text = "message";
    send_without_copy(ring, 1, near, text);
    io_uring_prep_cancel64(&ring.sqe(2), 1, 0);
    CHECK(ring.run(2) == std::vector<completed>{{1, 7, true}, {2, -ENOENT}});
    CHECK(ring.receive(far) == "message");
    ring.run(1);
}

TEST_CASE("unix_sockets_cannot_send_without_a_copy") {
    sim::world world(1, {});
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
    const std::string text = "message";
    send_without_copy(ring, 1, near, text);
    CHECK(ring.run(1).front().result == -EOPNOTSUPP); // a notification may follow
}

TEST_CASE("a_connection_that_finds_the_table_of_direct_descriptors_full_is_accepted_and_dropped") {
    sim::world world(1, {});
    bare_ring ring(world);
    REQUIRE(ring.kernel.register_direct_table(ring.native(), 1) == 0);
    sockaddr_in at;
    const int listener = listening_socket(ring, at);
    connecting_client(ring, 1, at);
    const int second = connecting_client(ring, 2, at);
    CHECK(ring.run(2).size() == 2);
    for (const std::uint64_t accept : {3, 4})
        io_uring_prep_accept_direct(
            &ring.sqe(accept), listener, nullptr, nullptr, 0, IORING_FILE_INDEX_ALLOC);
    CHECK(ring.run(2) == std::vector<completed>{{3, 0}, {4, -ENFILE}});
    char byte = 0;
    io_uring_prep_recv(&ring.sqe(5), second, &byte, 1, 0);
    CHECK(ring.run(1) == std::vector<completed>{{5, 0}});
    // A place that is closed can be given out again.
    io_uring_prep_close_direct(&ring.sqe(6), 0);
    CHECK(ring.run(1) == std::vector<completed>{{6, 0}});
    io_uring_prep_close_direct(&ring.sqe(7), 0);
    CHECK(ring.run(1) == std::vector<completed>{{7, -EBADF}});
    connecting_client(ring, 8, at);
    io_uring_prep_accept_direct(&ring.sqe(9), listener, nullptr, nullptr, 0, IORING_FILE_INDEX_ALLOC);
    CHECK(ring.run(2) == std::vector<completed>{{8, 0}, {9, 0}});
}

TEST_CASE("an_ordinary_descriptor_of_a_direct_one_keeps_the_connection_until_both_are_closed") {
    sim::world world(1, {});
    bare_ring ring(world);
    REQUIRE(ring.kernel.register_direct_table(ring.native(), 1) == 0);
    sockaddr_in at;
    const int listener = listening_socket(ring, at);
    const int client = connecting_client(ring, 1, at);
    io_uring_prep_accept_direct(&ring.sqe(2), listener, nullptr, nullptr, 0, IORING_FILE_INDEX_ALLOC);
    CHECK(ring.run(2).size() == 2);
    io_uring_prep_fixed_fd_install(&ring.sqe(3), 0, 0);
    const auto installed = ring.run(1);
    REQUIRE(installed.size() == 1);
    io_uring_prep_close_direct(&ring.sqe(4), 0);
    CHECK(ring.run(1) == std::vector<completed>{{4, 0}});
    const std::string text = "still here";
    ring.send(5, installed[0].result, text, MSG_NOSIGNAL);
    CHECK(ring.run(1) == std::vector<completed>{{5, 10}});
    CHECK(ring.receive(client) == "still here");
    CHECK(ring.kernel.close(installed[0].result) == 0);
    char byte = 0;
    io_uring_prep_recv(&ring.sqe(6), client, &byte, 1, 0);
    CHECK(ring.run(1) == std::vector<completed>{{6, 0}});
}

TEST_CASE("a_hard_link_holds_over_a_failure") {
    for (const unsigned char flag : {IOSQE_IO_LINK, IOSQE_IO_HARDLINK}) {
        sim::world world(1, {});
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
        const std::string text = "x";
        ring.send(1, -1, text, MSG_NOSIGNAL).flags |= flag;
        ring.send(2, near, text, MSG_NOSIGNAL);
        const int second = flag == IOSQE_IO_HARDLINK ? 1 : -ECANCELED;
        CHECK(ring.run(2) == std::vector<completed>{{1, -EBADF}, {2, second}});
    }
}

TEST_CASE("a_chain_that_a_submission_cuts_may_be_overtaken_by_what_is_submitted_next") {
    std::set<std::string> orders;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed, {.hold_back = 500});
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_STREAM);
        const std::string first = "A";
        const std::string second = "B";
        ring.send(1, near, first, MSG_NOSIGNAL).flags |= IOSQE_IO_LINK;
        auto done = ring.run();
        ring.send(2, near, second, MSG_NOSIGNAL);
        const auto rest = ring.run(2 - done.size());
        CHECK(done.size() + rest.size() == 2);
        orders.insert(ring.receive(far));
    }
    CHECK(orders == std::set<std::string>{"AB", "BA"});
}

TEST_CASE("a_world_that_forbids_it_fails_when_a_submission_cuts_a_chain") {
    const std::string text = last_words([] {
        sim::world world(1, {});
        sim::simulated_kernel kernel(world);
        kernel.forbid_cut_chains();
        ring used(kernel, {.submission_entries = 2, .completion_entries = 2});
        statistics counters;
        io_uring_sqe* const entry = used.next_sqe();
        io_uring_prep_nop(entry);
        entry->flags |= IOSQE_IO_LINK;
        used.enter(waiting::none, nullptr, counters);
    });
    CHECK(text.contains("in the middle of a chain"));
}

TEST_CASE("unix_datagrams_wait_for_their_reader_in_any_order_and_linked_ones_in_theirs") {
    for (const bool linked : {false, true}) {
        std::set<std::string> orders;
        for (std::uint64_t seed = 0; seed < 100; ++seed) {
            sim::world world(seed, {.buffer = 4608});
            bare_ring ring(world);
            const auto [near, far] = ring.kernel.connected_pair(AF_UNIX, SOCK_DGRAM);
            const std::string filling(4400, '.');
            ring.send(9, near, filling, MSG_NOSIGNAL);
            ring.run(1);
            const std::string messages[] = {"A", "B", "C"};
            for (std::uint64_t message = 0; message < 3; ++message) {
                io_uring_sqe& entry = ring.send(message, near, messages[message], MSG_NOSIGNAL);
                if (linked && message != 2) entry.flags |= IOSQE_IO_LINK;
            }
            CHECK(ring.run().empty());
            CHECK(ring.receive(far).size() == 4400);
            ring.run();
            std::string order;
            for (int message = 0; message < 3; ++message) order += ring.receive(far);
            orders.insert(order);
        }
        if (linked)
            CHECK(orders == std::set<std::string>{"ABC"});
        else
            CHECK(orders.size() == 6);
    }
}
