// Datagrams: the layout of a multishot recvmsg, truncation, control messages, and batches in one buffer (GSO,
// GRO).
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <netinet/udp.h>

#include <optional>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

using namespace kernel_test;

namespace {

struct udp_pair {
    ipv4_socket receiver{SOCK_DGRAM};
    ipv4_socket sender{SOCK_DGRAM};

    udp_pair() { REQUIRE(connect(sender.get(), receiver.generic(), sizeof receiver.address) == 0); }
    void send(const std::string& text) const { put(sender.get(), text); }
};

void turn_on(int socket, int level, int option, const char* name) {
    const int one = 1;
    if (setsockopt(socket, level, option, &one, sizeof one) != 0) SKIP("this kernel has no " << name);
}

/// A multishot recvmsg that asks for room for an address and `control` bytes of control messages.
msghdr
arm(ring& r, const buffer_ring& buffers, int socket, std::uint64_t user_data, std::size_t control,
    unsigned flags = MSG_TRUNC, socklen_t name = sizeof(sockaddr_storage)) {
    msghdr layout{};
    layout.msg_namelen = name;
    layout.msg_controllen = control;
    io_uring_sqe* entry = r.sqe(user_data);
    io_uring_prep_recvmsg_multishot(entry, socket, &layout, flags);
    buffers.select(entry);
    r.submit();
    return layout;
}

io_uring_recvmsg_out header(buffer_ring& buffers, const completion& c) {
    REQUIRE(c.has_buffer());
    REQUIRE(c.result >= static_cast<int>(sizeof(io_uring_recvmsg_out)));
    io_uring_recvmsg_out out{};
    std::memcpy(&out, buffers.data(c.buffer()), sizeof out);
    return out;
}

/// Segment size that GRO reports for the datagrams merged into this buffer.
std::optional<int> gro_segment(char* buffer, const completion& c, msghdr& layout) {
    io_uring_recvmsg_out* out = io_uring_recvmsg_validate(buffer, c.result, &layout);
    REQUIRE(out != nullptr);
    for (cmsghdr* cmsg = io_uring_recvmsg_cmsg_firsthdr(out, &layout); cmsg != nullptr;
         cmsg = io_uring_recvmsg_cmsg_nexthdr(out, &layout, cmsg)) {
        if (cmsg->cmsg_level == IPPROTO_UDP && cmsg->cmsg_type == UDP_GRO &&
            cmsg->cmsg_len >= CMSG_LEN(sizeof(int))) {
            int size = 0;
            std::memcpy(&size, CMSG_DATA(cmsg), sizeof size);
            return size;
        }
    }
    return std::nullopt;
}

} // namespace

TEST_CASE("a_recvmsg_buffer_holds_header_name_control_and_payload_at_offsets_of_the_requested_lengths") {
    ring r;
    buffer_ring buffers(r, 4, 512);
    const udp_pair udp;
    arm(r, buffers, udp.receiver.get(), 1, 64);
    udp.send("payload");
    const completion c = r.wait();
    CHECK(c.more());
    const io_uring_recvmsg_out out = header(buffers, c);
    CHECK(out.namelen == sizeof(sockaddr_in));
    CHECK(out.controllen == 0);
    CHECK(out.payloadlen == 7);
    CHECK(out.flags == 0);

    constexpr std::size_t name_at = sizeof(io_uring_recvmsg_out);
    constexpr std::size_t payload_at = name_at + sizeof(sockaddr_storage) + 64;
    CHECK(c.result == static_cast<int>(payload_at + 7));
    sockaddr_in from{};
    std::memcpy(&from, buffers.data(c.buffer()) + name_at, sizeof from);
    CHECK(from.sin_port == udp.sender.address.sin_port);
    CHECK(std::string(buffers.data(c.buffer()) + payload_at, 7) == "payload");
}

TEST_CASE("the_real_size_of_a_truncated_datagram_is_reported_only_with_msg_trunc") {
    const bool ask = GENERATE(false, true);
    CAPTURE(ask);
    ring r;
    constexpr std::size_t room = 100;
    buffer_ring buffers(r, 4, sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_in) + room);
    const udp_pair udp;
    arm(r, buffers, udp.receiver.get(), 1, 0, ask ? MSG_TRUNC : 0, sizeof(sockaddr_in));
    udp.send(std::string(400, 'x'));
    const completion c = r.wait();
    const io_uring_recvmsg_out out = header(buffers, c);
    CHECK((out.flags & MSG_TRUNC) != 0);
    CHECK(out.payloadlen == (ask ? 400 : room));
    CHECK(c.result == static_cast<int>(sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_in) + room));
}

TEST_CASE(
    "a_zero_length_datagram_is_delivered_by_recvmsg_and_those_behind_it_wait_for_a_receive_to_be_armed") {
    ring r;
    buffer_ring buffers(r, 8, 512);
    const udp_pair udp;
    arm(r, buffers, udp.receiver.get(), 1, 0);
    udp.send("a");
    udp.send("");
    udp.send("b");
    CHECK(header(buffers, r.wait()).payloadlen == 1);
    const completion empty = r.wait();
    CHECK(header(buffers, empty).payloadlen == 0);
    if (empty.more()) {
        WARN("a zero-length datagram did not end a multishot recvmsg; on Linux 6.18 it does");
    } else {
        CHECK(r.fence().empty());
        arm(r, buffers, udp.receiver.get(), 2, 0);
    }
    CHECK(header(buffers, r.wait()).payloadlen == 1);
}

TEST_CASE("a_zero_length_datagram_is_delivered_by_recv_and_those_behind_it_wait_for_a_receive_to_be_armed") {
    ring r;
    buffer_ring buffers(r, 8, 512);
    const udp_pair udp;
    const auto arm_receive = [&] {
        io_uring_sqe* entry = r.sqe(1);
        io_uring_prep_recv_multishot(entry, udp.receiver.get(), nullptr, 0, 0);
        buffers.select(entry);
        r.submit();
    };
    arm_receive();
    udp.send("");
    udp.send("b");
    const completion empty = r.wait();
    CHECK(empty.result == 0);
    if (!empty.more()) arm_receive();
    CHECK(buffers.text(r.wait()) == "b");
}

TEST_CASE("control_messages_arrive_whole_in_the_room_asked_for") {
    ring r;
    buffer_ring buffers(r, 4, 1024);
    const udp_pair udp;
    turn_on(udp.receiver.get(), IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO");
    turn_on(udp.receiver.get(), IPPROTO_IP, IP_RECVTOS, "IP_RECVTOS");
    msghdr layout = arm(r, buffers, udp.receiver.get(), 1, 192);
    udp.send("x");
    const completion c = r.wait();
    io_uring_recvmsg_out* out = io_uring_recvmsg_validate(buffers.data(c.buffer()), c.result, &layout);
    REQUIRE(out != nullptr);
    CHECK((out->flags & MSG_CTRUNC) == 0);
    CHECK(out->controllen == CMSG_SPACE(sizeof(in_pktinfo)) + CMSG_SPACE(1));
    CHECK(io_uring_recvmsg_payload_length(out, c.result, &layout) == 1);
    CHECK(*static_cast<char*>(io_uring_recvmsg_payload(out, &layout)) == 'x');
}

TEST_CASE("control_messages_without_room_are_cut_and_the_buffer_says_so") {
    ring r;
    buffer_ring buffers(r, 4, 1024);
    const udp_pair udp;
    turn_on(udp.receiver.get(), IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO");
    msghdr layout = arm(r, buffers, udp.receiver.get(), 1, CMSG_SPACE(sizeof(in_pktinfo)) - 8);
    udp.send("x");
    const completion c = r.wait();
    io_uring_recvmsg_out* out = io_uring_recvmsg_validate(buffers.data(c.buffer()), c.result, &layout);
    REQUIRE(out != nullptr);
    CHECK((out->flags & MSG_CTRUNC) != 0);
    const cmsghdr* cut = io_uring_recvmsg_cmsg_firsthdr(out, &layout);
    REQUIRE(cut != nullptr);
    CHECK(cut->cmsg_len < CMSG_LEN(sizeof(in_pktinfo)));
    CHECK(*static_cast<char*>(io_uring_recvmsg_payload(out, &layout)) == 'x');
}

TEST_CASE("one_sendmsg_with_a_segment_size_is_many_datagrams_and_gro_tells_where_to_cut_them") {
    ring r;
    buffer_ring buffers(r, 16, 69'000);
    const udp_pair udp;
    turn_on(udp.receiver.get(), IPPROTO_UDP, UDP_GRO, "UDP_GRO (5.0)");
    msghdr layout = arm(r, buffers, udp.receiver.get(), 1, 192);

    std::string batch;
    for (char letter = 'a'; letter < 'a' + 10; ++letter) batch += std::string(1200, letter);
    iovec vector{.iov_base = batch.data(), .iov_len = batch.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* segment = CMSG_FIRSTHDR(&message);
    segment->cmsg_level = IPPROTO_UDP;
    segment->cmsg_type = UDP_SEGMENT;
    segment->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const std::uint16_t size = 1200;
    std::memcpy(CMSG_DATA(segment), &size, sizeof size);
    io_uring_prep_sendmsg(r.sqe(2), udp.sender.get(), &message, 0);
    r.submit();

    std::string received;
    bool sent = false;
    while (!sent || received.size() < batch.size()) {
        const completion c = r.wait();
        if (c.user_data == 2) {
            REQUIRE(c.result == static_cast<int>(batch.size()));
            sent = true;
            continue;
        }
        REQUIRE(c.has_buffer());
        char* buffer = buffers.data(c.buffer());
        const auto segment_size = gro_segment(buffer, c, layout);
        io_uring_recvmsg_out* out = io_uring_recvmsg_validate(buffer, c.result, &layout);
        const auto length = io_uring_recvmsg_payload_length(out, c.result, &layout);
        CHECK(out->payloadlen == length);
        if (length > 1200) CHECK(segment_size == 1200);
        received.append(static_cast<char*>(io_uring_recvmsg_payload(out, &layout)), length);
    }
    CHECK(received == batch);
}
