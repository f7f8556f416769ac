// Memory that an SQE points to: what is free again after submission, and what must stay until the completion.
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <fcntl.h>

using namespace kernel_test;

namespace {

template <class Object> void scribble_over(Object& object) {
    std::memset(static_cast<void*>(&object), 0xff, sizeof object);
}

/// Room for one descriptor on its way through a unix socket.
struct rights {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes{};

    void put_into(msghdr& message, int fd) {
        message.msg_control = bytes.data();
        message.msg_controllen = bytes.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
};

} // namespace

TEST_CASE("msghdr_and_iovecs_of_a_blocked_sendmsg_may_be_overwritten_after_submission") {
    const std::size_t count = GENERATE(1U, 8U, 9U, 100U);
    CAPTURE(count);
    ring r;
    r.require_feature(IORING_FEAT_SUBMIT_STABLE, "IORING_FEAT_SUBMIT_STABLE (5.5)");
    const auto sockets = unix_pair(SOCK_STREAM, 8192);
    const std::size_t filled = fill(sockets.near.get());
    std::vector<std::string> parts;
    std::vector<iovec> vectors;
    std::string expected(filled, '.');
    for (std::size_t i = 0; i < count; ++i) parts.emplace_back(700, static_cast<char>('!' + i % 90));
    for (std::string& part : parts) {
        vectors.push_back({.iov_base = part.data(), .iov_len = part.size()});
        expected += part;
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = vectors.size();
    io_uring_prep_sendmsg(r.sqe(1), sockets.near.get(), &message, MSG_WAITALL | MSG_NOSIGNAL);
    r.submit();
    scribble_over(message);
    std::ranges::fill(vectors, iovec{.iov_base = nullptr, .iov_len = ~std::size_t{0}});

    std::vector<completion> done;
    CHECK(get_while_driving(r, sockets.far.get(), expected.size(), 1, done) == expected);
    CHECK(of(done, 1).result == static_cast<int>(count * 700));
}

TEST_CASE("msghdr_and_iovecs_of_a_linked_sendmsg_that_has_not_started_may_be_overwritten_after_submission") {
    ring r;
    const auto sockets = unix_pair();
    char byte = 0;
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv(entry, sockets.near.get(), &byte, 1, 0);
    entry->flags |= IOSQE_IO_LINK;
    std::array<std::string, 2> parts{"first ", "second"};
    std::array<iovec, 2> vectors{
        iovec{.iov_base = parts[0].data(), .iov_len = parts[0].size()},
        iovec{.iov_base = parts[1].data(), .iov_len = parts[1].size()}};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = vectors.size();
    io_uring_prep_sendmsg(r.sqe(2), sockets.near.get(), &message, MSG_WAITALL | MSG_NOSIGNAL);
    r.submit();
    scribble_over(message);
    scribble_over(vectors);
    put(sockets.far.get(), "g");
    CHECK(of(r.wait(2), 2).result == 12);
    CHECK(get(sockets.far.get()) == "first second");
}

TEST_CASE("the_bytes_of_a_blocked_send_are_read_when_it_runs_so_they_must_stay") {
    ring r;
    const auto sockets = unix_pair(SOCK_STREAM, 8192);
    const std::size_t filled = fill(sockets.near.get());
    std::string bytes = "before";
    io_uring_prep_send(r.sqe(1), sockets.near.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    r.submit();
    bytes = "after!";
    std::vector<completion> done;
    CHECK(get_while_driving(r, sockets.far.get(), filled + 6, 1, done).substr(filled) == "after!");
}

TEST_CASE("control_messages_of_a_blocked_sendmsg_are_read_when_it_runs_so_they_must_stay") {
    ring r;
    const auto sockets = unix_pair(SOCK_STREAM, 8192);
    const std::size_t filled = fill(sockets.near.get());
    const auto meant = unix_pair();
    rights control;
    iovec vector{.iov_base = const_cast<char*>("x"), .iov_len = 1};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    control.put_into(message, meant.near.get());
    io_uring_prep_sendmsg(r.sqe(1), sockets.near.get(), &message, MSG_NOSIGNAL);
    r.submit();
    scribble_over(message);
    std::vector<completion> done;

    SECTION("kept_they_arrive") {
        CHECK(get_while_driving(r, sockets.far.get(), filled, 1, done).size() >= filled);
        CHECK(of(done, 1).result == 1);
    }
    SECTION("overwritten_they_fail_the_send") {
        scribble_over(control);
        CHECK(get_while_driving(r, sockets.far.get(), filled, 1, done).size() >= filled);
        if (of(done, 1).result == 1)
            WARN("control messages were copied at submission; up to Linux 6.18 they are not");
    }
}

TEST_CASE("a_descriptor_sent_by_the_ring_belongs_to_the_message_as_soon_as_the_send_is_complete") {
    ring r;
    const auto sockets = unix_pair();
    auto passed = unix_pair();
    {
        rights control;
        iovec vector{.iov_base = const_cast<char*>("x"), .iov_len = 1};
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        control.put_into(message, passed.near.get());
        io_uring_prep_sendmsg(r.sqe(1), sockets.near.get(), &message, MSG_NOSIGNAL);
        r.submit();
        REQUIRE(r.wait().result == 1);
        passed.near.close();
    }
    rights room;
    char byte = 0;
    iovec vector{.iov_base = &byte, .iov_len = 1};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = room.bytes.data();
    message.msg_controllen = room.bytes.size();
    io_uring_prep_recvmsg(r.sqe(2), sockets.far.get(), &message, MSG_CMSG_CLOEXEC);
    r.submit();
    REQUIRE(r.wait().result == 1);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    REQUIRE(header != nullptr);
    REQUIRE(header->cmsg_type == SCM_RIGHTS);
    int number = -1;
    std::memcpy(&number, CMSG_DATA(header), sizeof number);
    const descriptor received(number);
    put(passed.far.get(), "hello");
    CHECK(get(received.get()) == "hello");
}

TEST_CASE("a_recvmsg_writes_into_the_callers_msghdr_when_it_completes_so_the_msghdr_must_stay") {
    ring r;
    const ipv4_socket receiver(SOCK_DGRAM);
    ipv4_socket sender(SOCK_DGRAM);
    std::array<char, 4> room{};
    sockaddr_storage from{};
    iovec vector{.iov_base = room.data(), .iov_len = room.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    io_uring_prep_recvmsg(r.sqe(1), receiver.get(), &message, 0);
    r.submit();
    CHECK(r.fence().empty());
    // The vectors, unlike the header, are free again.
    scribble_over(vector);
    REQUIRE(
        connect(
            sender.get(), reinterpret_cast<const sockaddr*>(&receiver.address), sizeof receiver.address) ==
        0);
    put(sender.get(), "too long for four");
    CHECK(r.wait().result == 4);
    CHECK((message.msg_flags & MSG_TRUNC) != 0);
    CHECK(message.msg_namelen == sizeof(sockaddr_in));
    CHECK(reinterpret_cast<const sockaddr_in&>(from).sin_port == sender.address.sin_port);
}

TEST_CASE("the_msghdr_of_a_multishot_recvmsg_may_be_overwritten_after_submission") {
    ring r;
    buffer_ring buffers(r, 4, 256);
    const ipv4_socket receiver(SOCK_DGRAM);
    const ipv4_socket sender(SOCK_DGRAM);
    msghdr layout{};
    layout.msg_namelen = sizeof(sockaddr_in);
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recvmsg_multishot(entry, receiver.get(), &layout, 0);
    buffers.select(entry);
    r.submit();
    scribble_over(layout);
    REQUIRE(
        connect(
            sender.get(), reinterpret_cast<const sockaddr*>(&receiver.address), sizeof receiver.address) ==
        0);
    for (int i = 0; i < 3; ++i) {
        put(sender.get(), "abc");
        const completion c = r.wait();
        CHECK(c.more());
        CHECK(c.result == static_cast<int>(sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_in) + 3));
    }
}

TEST_CASE("the_address_of_a_connect_may_be_overwritten_after_submission") {
    const bool linked = GENERATE(false, true);
    CAPTURE(linked);
    ring r;
    tcp_listener listener;
    const auto gate = unix_pair();
    const descriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = listener.address;
    char byte = 0;
    if (linked) {
        io_uring_sqe* entry = r.sqe(1);
        io_uring_prep_recv(entry, gate.near.get(), &byte, 1, 0);
        entry->flags |= IOSQE_IO_LINK;
    }
    io_uring_prep_connect(r.sqe(2), client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    r.submit();
    scribble_over(address);
    if (linked) {
        put(gate.far.get(), "g");
        CHECK(r.wait().user_data == 1);
    }
    CHECK(r.wait() == completion{.user_data = 2, .result = 0, .flags = 0});
    const descriptor accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

TEST_CASE("the_destination_of_a_sendmsg_may_be_overwritten_after_submission") {
    ring r;
    const auto gate = unix_pair();
    const ipv4_socket receiver(SOCK_DGRAM);
    const ipv4_socket sender(SOCK_DGRAM);
    char byte = 0;
    io_uring_sqe* entry = r.sqe(1);
    io_uring_prep_recv(entry, gate.near.get(), &byte, 1, 0);
    entry->flags |= IOSQE_IO_LINK;
    sockaddr_in to = receiver.address;
    iovec vector{.iov_base = const_cast<char*>("abc"), .iov_len = 3};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    io_uring_prep_sendmsg(r.sqe(2), sender.get(), &message, 0);
    r.submit();
    scribble_over(to);
    scribble_over(message);
    put(gate.far.get(), "g");
    CHECK(of(r.wait(2), 2).result == 3);
    CHECK(get(receiver.get()) == "abc");
}
