// Cancelling: what can be found, and that the completion of the cancelled operation says what was done.
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <sys/un.h>

using namespace kernel_test;

namespace {

constexpr std::uint64_t the_cancel = 99;

void cancel(ring& r, std::uint64_t user_data) {
    io_uring_prep_cancel64(r.sqe(the_cancel), user_data, 0);
    r.submit();
}

void cancel_all_of(ring& r, int fd) {
    io_uring_prep_cancel_fd(r.sqe(the_cancel), fd, IORING_ASYNC_CANCEL_ALL);
    r.submit();
}

void push_chain_of_receives(ring& r, int socket) {
    static std::array<char, 3> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        io_uring_sqe* entry = r.sqe(i + 1);
        io_uring_prep_recv(entry, socket, &bytes[i], 1, 0);
        if (i + 1 < bytes.size()) entry->flags |= IOSQE_IO_LINK;
    }
    r.submit();
}

} // namespace

TEST_CASE("a_later_member_of_a_chain_cannot_be_found_by_cancel") {
    ring r;
    const auto sockets = unix_pair();
    push_chain_of_receives(r, sockets.near.get());
    cancel(r, 2);
    CHECK(r.wait() == completion{.user_data = the_cancel, .result = -ENOENT, .flags = 0});
    CHECK(r.fence().empty());
}

TEST_CASE("cancelling_the_head_of_a_chain_ends_the_whole_chain") {
    ring r;
    const auto sockets = unix_pair();
    push_chain_of_receives(r, sockets.near.get());
    cancel(r, 1);
    const auto all = r.wait(4);
    CHECK(of(all, the_cancel).result == 0);
    for (std::uint64_t member : {1, 2, 3}) CHECK(of(all, member).result == -ECANCELED);
}

TEST_CASE("cancelling_by_descriptor_ends_everything_on_it_and_nothing_on_others") {
    ring r;
    const auto sockets = unix_pair();
    const auto others = unix_pair();
    push_chain_of_receives(r, sockets.near.get());
    char byte = 0;
    io_uring_prep_recv(r.sqe(4), sockets.near.get(), &byte, 1, 0);
    io_uring_prep_recv(r.sqe(5), others.near.get(), &byte, 1, 0);
    r.submit();
    cancel_all_of(r, sockets.near.get());
    const auto all = r.wait(5);
    CHECK(of(all, the_cancel).result == 2);
    for (std::uint64_t member : {1, 2, 3, 4}) CHECK(of(all, member).result == -ECANCELED);
    put(others.far.get(), "x");
    CHECK(r.wait() == completion{.user_data = 5, .result = 1, .flags = 0});
}

TEST_CASE("cancelling_by_descriptor_and_opcode_ends_the_sends_and_leaves_the_receive") {
    ring r;
    const auto sockets = unix_pair(SOCK_STREAM, 8192);
    fill(sockets.near.get());
    char byte = 0;
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), &byte, 1, 0);
    io_uring_prep_send(r.sqe(2), sockets.near.get(), "x", 1, MSG_NOSIGNAL);
    io_uring_prep_send(r.sqe(3), sockets.near.get(), "y", 1, MSG_NOSIGNAL);
    r.submit();
    io_uring_sqe* entry = r.sqe(the_cancel);
    io_uring_prep_cancel_fd(entry, sockets.near.get(), IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_OP);
    entry->len = IORING_OP_SEND;
    r.submit();
    const auto all = r.fence();
    if (of(all, the_cancel).result == -EINVAL) SKIP("this kernel has no IORING_ASYNC_CANCEL_OP (6.6)");
    CHECK(of(all, the_cancel).result == 2);
    CHECK(of(all, 2).result == -ECANCELED);
    CHECK(of(all, 3).result == -ECANCELED);
    CHECK(all.size() == 3);
    put(sockets.far.get(), "z");
    CHECK(r.wait() == completion{.user_data = 1, .result = 1, .flags = 0});
}

TEST_CASE("a_cancelled_receive_either_reports_the_data_or_leaves_it_in_the_socket") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative, 0U);
    const bool data_first = GENERATE(false, true);
    CAPTURE(flags, data_first);
    ring r(flags);
    const auto sockets = unix_pair();
    std::array<char, 16> room{};
    io_uring_prep_recv(r.sqe(1), sockets.near.get(), room.data(), room.size(), 0);
    r.submit();
    if (data_first) put(sockets.far.get(), "data");
    cancel(r, 1);
    const auto all = r.wait(2);
    if (!data_first) put(sockets.far.get(), "data");
    const int result = of(all, 1).result;
    CAPTURE(all);
    if (result == 4) {
        CHECK(std::string(room.data(), 4) == "data");
        CHECK(get_now(sockets.near.get()).empty());
    } else {
        CHECK(result == -ECANCELED);
        CHECK(get_now(sockets.near.get()) == "data");
    }
}

TEST_CASE("a_cancelled_multishot_receive_loses_neither_data_nor_buffers_and_ends_once") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative, 0U);
    CAPTURE(flags);
    for (int round = 0; round < 10; ++round) {
        ring r(flags, 8, 64);
        buffer_ring buffers(r, 32, 16);
        const auto sockets = unix_pair(SOCK_SEQPACKET);
        io_uring_sqe* entry = r.sqe(1);
        io_uring_prep_recv_multishot(entry, sockets.near.get(), nullptr, 0, 0);
        buffers.select(entry);
        r.submit();
        // Half of the rounds race with the peer, half cancel with all the data there.
        std::thread peer([&sockets] {
            for (const char letter : {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})
                send(sockets.far.get(), &letter, 1, 0);
        });
        if (round % 2 == 0) peer.join();
        cancel(r, 1);
        if (peer.joinable()) peer.join();

        std::string received;
        unsigned taken = 0;
        unsigned ends = 0;
        for (const completion& c : r.fence()) {
            if (c.user_data == the_cancel) continue;
            CHECK(ends == 0);
            if (c.has_buffer()) {
                ++taken;
                received += buffers.text(c);
            }
            if (!c.more()) ++ends;
        }
        CHECK(ends == 1);
        CHECK(buffers.available().value_or(32 - taken) == 32 - taken);
        for (std::string left = get_now(sockets.near.get()); !left.empty();
             left = get_now(sockets.near.get())) {
            received += left;
        }
        CHECK(received == "abcdefgh");
    }
}

TEST_CASE("a_gathered_send_that_is_cancelled_halfway_reports_the_bytes_that_moved") {
    const bool by_descriptor = GENERATE(false, true);
    CAPTURE(by_descriptor);
    ring r;
    const auto sockets = unix_pair(SOCK_STREAM, 8192);
    std::string bytes(100'000, 'A');
    iovec vectors[2] = {
        {.iov_base = bytes.data(), .iov_len = 50'000},
        {.iov_base = bytes.data() + 50'000, .iov_len = 50'000}};
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = 2;
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_sendmsg(entry, sockets.near.get(), &message, MSG_WAITALL | MSG_NOSIGNAL);
    entry->flags |= IOSQE_IO_LINK;
    io_uring_prep_send(r.sqe(2), sockets.near.get(), "B", 1, MSG_NOSIGNAL);
    r.submit();
    if (by_descriptor) {
        cancel_all_of(r, sockets.near.get());
    } else {
        cancel(r, 1);
    }
    const auto all = r.wait(3);
    const int moved = of(all, 1).result;
    CHECK(moved > 0);
    CHECK(moved < 100'000);
    CHECK(of(all, 2).result == -ECANCELED);
    CHECK(get_now(sockets.far.get()).size() == static_cast<std::size_t>(moved));
    CHECK(get_now(sockets.far.get()).empty());
}

TEST_CASE("a_gathered_send_that_is_cancelled_before_any_byte_moved_reports_ecanceled") {
    ring r;
    const auto sockets = unix_pair(SOCK_STREAM, 8192);
    const std::size_t filled = fill(sockets.near.get());
    iovec vector{.iov_base = const_cast<char*>("abc"), .iov_len = 3};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    io_uring_prep_sendmsg(r.sqe(1), sockets.near.get(), &message, MSG_WAITALL | MSG_NOSIGNAL);
    r.submit();
    cancel(r, 1);
    CHECK(of(r.wait(2), 1).result == -ECANCELED);
    CHECK(get_now(sockets.far.get()) == std::string(filled, '.'));
}

TEST_CASE("a_cancelled_connect_ends_and_leaves_a_socket_that_is_good_for_nothing_but_close") {
    ring r;
    tcp_listener listener(0);
    // A full backlog answers nobody, so the next connect waits.
    const descriptor first = listener.client();
    REQUIRE(events_now(listener.get(), POLLIN, patience_ms) != 0);
    descriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    io_uring_prep_connect(r.sqe(1), client.get(), listener.generic(), sizeof listener.address);
    r.submit();
    CHECK(r.fence().empty());
    cancel(r, 1);
    const auto all = r.wait(2);
    CHECK(of(all, the_cancel).result == 0);
    CHECK(of(all, 1).result == -ECANCELED);
    io_uring_prep_connect(r.sqe(2), client.get(), listener.generic(), sizeof listener.address);
    r.submit();
    CHECK(r.wait() == completion{.user_data = 2, .result = -EALREADY, .flags = 0});
}

TEST_CASE("a_unix_connect_that_waits_for_a_backlog_may_hide_from_one_cancel_but_not_from_repeated_ones") {
    // On a thread of its own, whose io-wq threads end with it: once in io-wq, the connect can be found.
    on_a_fresh_thread([] {
        ring r;
        descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socklen_t length = sizeof address.sun_family; // the kernel picks an abstract name
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(bind(listener.get(), generic, length) == 0);
        length = sizeof address;
        REQUIRE(getsockname(listener.get(), generic, &length) == 0);
        REQUIRE(listen(listener.get(), 0) == 0);
        std::vector<descriptor> crowd;
        int error = 0;
        while (error == 0) {
            crowd.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            error = connect(crowd.back().get(), generic, length) == 0 ? 0 : errno;
        }
        REQUIRE(error == EAGAIN);

        descriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        io_uring_prep_connect(r.sqe(1), client.get(), generic, length);
        r.submit();
        const deadline limit;
        bool ended = false;
        while (!ended) {
            limit.check("a cancelled unix connect");
            cancel(r, 1);
            for (const completion& c : r.fence()) {
                if (c.user_data != 1) continue;
                CHECK((c.result == -ECANCELED || c.result == -EINTR));
                ended = true;
            }
        }
    });
}

TEST_CASE("a_cancelled_multishot_accept_hands_out_or_leaves_in_the_backlog_every_connection_and_ends_once") {
    const auto flags = GENERATE(ring::deferred, ring::cooperative);
    const bool connect_first = GENERATE(false, true);
    CAPTURE(flags, connect_first);
    ring r(flags);
    tcp_listener listener;
    io_uring_prep_multishot_accept(r.sqe(1), listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    r.submit();
    std::vector<descriptor> clients;
    if (connect_first) clients.push_back(listener.client());
    cancel(r, 1);
    std::vector<descriptor> accepted;
    unsigned ends = 0;
    while (ends == 0) {
        const completion c = r.wait();
        if (c.user_data == the_cancel) continue;
        if (c.result >= 0) accepted.emplace_back(c.result);
        if (!c.more()) ++ends;
    }
    if (!connect_first) clients.push_back(listener.client());
    for (const completion& c : r.fence()) CHECK(c.user_data == the_cancel);
    if (accepted.empty()) {
        REQUIRE(events_now(listener.get(), POLLIN, patience_ms) != 0);
        accepted.emplace_back(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
    CHECK(accepted.size() == 1);
    put(clients[0].get(), "hello");
    CHECK(get(accepted[0].get()) == "hello");
}
