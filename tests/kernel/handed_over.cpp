// Descriptors that others have made, and such as come with messages.
#include "fixture.hpp"

#include <catch2/generators/catch_generators.hpp>
#include <fcntl.h>

using namespace kernel_test;

namespace {

descriptor non_blocking(descriptor made) {
    REQUIRE(::fcntl(made.get(), F_SETFL, O_NONBLOCK) == 0);
    return made;
}

/// A message that takes up to `room` bytes of control data.
struct message {
    explicit message(std::size_t room) {
        memory_ = {bytes.data(), bytes.size()};
        header.msg_iov = &memory_;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = room;
    }
    void bring(std::initializer_list<int> descriptors) {
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
        std::copy(descriptors.begin(), descriptors.end(), reinterpret_cast<int*>(CMSG_DATA(rights)));
        header.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    }
    std::vector<descriptor> take() {
        std::vector<descriptor> taken;
        const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) return taken;
        const std::size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const auto* const numbers = reinterpret_cast<const int*>(CMSG_DATA(rights));
        for (std::size_t each = 0; each < count; ++each) taken.emplace_back(numbers[each]);
        return taken;
    }

    std::array<char, 8> bytes{};
    alignas(cmsghdr) std::array<char, 256> control{};
    msghdr header{};

  private:
    iovec memory_{};
};

int lowest_free() {
    const int found = ::dup(0);
    ::close(found);
    return found;
}

} // namespace

TEST_CASE("operations_wait_on_a_socket_that_does_not_block") {
    ring r(GENERATE(as<unsigned>{}, ring::deferred, ring::cooperative));
    buffer_ring buffers(r, 4, 64);
    auto pair = unix_pair();
    pair.near = non_blocking(std::move(pair.near));
    SECTION("a receive") {
        char byte = 0;
        io_uring_prep_recv(r.sqe(1), pair.near.get(), &byte, 1, 0);
        r.submit();
        CHECK(r.fence().empty());
        put(pair.far.get(), "x");
        CHECK(r.wait().result == 1);
    }
    SECTION("a multishot receive") {
        io_uring_sqe* const entry = r.sqe(1);
        io_uring_prep_recv_multishot(entry, pair.near.get(), nullptr, 0, 0);
        buffers.select(entry);
        r.submit();
        CHECK(r.fence().empty());
        put(pair.far.get(), "x");
        CHECK(r.wait().result == 1);
        CHECK(r.fence().empty());
        put(pair.far.get(), "y");
        CHECK(r.wait().result == 1);
    }
    SECTION("a receive of a message") {
        message taken(CMSG_LEN(sizeof(int)));
        io_uring_prep_recvmsg(r.sqe(1), pair.near.get(), &taken.header, 0);
        r.submit();
        CHECK(r.fence().empty());
        put(pair.far.get(), "x");
        CHECK(r.wait().result == 1);
    }
}

TEST_CASE("a_message_with_more_descriptors_than_room_installs_as_many_as_fit_and_closes_the_rest") {
    ring r;
    const auto pair = unix_pair();
    message sent(0);
    sent.header.msg_controllen = sent.control.size();
    sent.bring({0, 0, 0});
    REQUIRE(::sendmsg(pair.far.get(), &sent.header, 0) > 0);
    const int before = lowest_free();
    message taken(CMSG_LEN(sizeof(int)));
    io_uring_prep_recvmsg(r.sqe(1), pair.near.get(), &taken.header, MSG_CMSG_CLOEXEC);
    r.submit();
    CHECK(r.wait().result > 0);
    CHECK((taken.header.msg_flags & MSG_CTRUNC) != 0);
    const std::vector<descriptor> all = taken.take();
    REQUIRE(all.size() == 1);
    CHECK(all.front().get() == before);
    CHECK(::fcntl(all.front().get(), F_GETFD) == FD_CLOEXEC);
    CHECK(lowest_free() == before + 1);
}

/// CMSG_SPACE is aligned, and the kernel uses what that adds.
TEST_CASE("the_padding_behind_one_descriptor_is_room_for_another") {
    ring r;
    const auto pair = unix_pair();
    message sent(0);
    sent.header.msg_controllen = sent.control.size();
    sent.bring({0, 0});
    REQUIRE(::sendmsg(pair.far.get(), &sent.header, 0) > 0);
    message taken(CMSG_SPACE(sizeof(int)));
    io_uring_prep_recvmsg(r.sqe(1), pair.near.get(), &taken.header, MSG_CMSG_CLOEXEC);
    r.submit();
    CHECK(r.wait().result > 0);
    CHECK(taken.take().size() == 2);
}

TEST_CASE("what_comes_with_bytes_of_a_plain_receive_is_closed") {
    ring r;
    const auto pair = unix_pair();
    message sent(0);
    sent.header.msg_controllen = sent.control.size();
    sent.bring({0});
    REQUIRE(::sendmsg(pair.far.get(), &sent.header, 0) > 0);
    const int before = lowest_free();
    char bytes[8];
    io_uring_prep_recv(r.sqe(1), pair.near.get(), bytes, sizeof bytes, 0);
    r.submit();
    CHECK(r.wait().result > 0);
    CHECK(lowest_free() == before);
}
