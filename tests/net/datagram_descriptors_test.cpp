// Descriptors that come with datagrams: whose they are, whatever becomes of the receive.
#include "pieces_of_memory.hpp"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 // newer than the headers of some distributions
#endif

using namespace chainring;
using namespace chainring::test;

namespace {

// A receiver with room for one descriptor, somebody who sends to it, and a descriptor to send.
struct one_to_pass {
    pipe_ends pipe;
    std::array<int, 1> descriptor{pipe.reading()};
    unix_datagram receiver = must(unix_datagram::bind(over_unix_datagrams::somewhere(), {.descriptors = 1}));
    unix_datagram sender = must(unix_datagram::bind(over_unix_datagrams::somewhere()));
    endpoint to = must(receiver.local());

    // At once, and not in the next turn.
    void send_empty() const {
        msghdr header{};
        header.msg_name = const_cast<sockaddr*>(to.address());
        header.msg_namelen = to.length();
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        cmsghdr* const first = CMSG_FIRSTHDR(&header);
        *first = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        std::memcpy(CMSG_DATA(first), descriptor.data(), sizeof(int));
        CHECK(::sendmsg(sender.native_handle(), &header, MSG_DONTWAIT) == 0);
    }
};

} // namespace

TEST_CASE("as_many_descriptors_come_as_have_room", "[linux]") {
    const std::size_t before = open_descriptors();
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        one_to_pass passed;
        unix_datagram receiver =
            must(unix_datagram::bind(over_unix_datagrams::somewhere(), {.descriptors = 3}));
        if (armed) co_await arm(receiver, passed.sender);
        const std::array<int, 3> three{passed.pipe.reading(), passed.pipe.writing(), passed.pipe.reading()};
        for (std::size_t room = 0; room <= CMSG_SPACE(sizeof three); ++room) {
            pieces_of_memory into(100, room);
            must(
                co_await passed.sender.send_to(must(receiver.local()), "with three", {.descriptors = three}));
            must(co_await receiver.receive_into(into.header));
            const auto taken = take_descriptors(control_messages(into.header), linux_kernel());
            CAPTURE(room);
            const std::size_t fit = room < CMSG_LEN(0) ? 0 : (room - CMSG_LEN(0)) / sizeof(int);
            REQUIRE(taken.size() == std::min(fit, three.size()));
            for (std::size_t at = 0; at < taken.size(); ++at)
                CHECK(is_same_file(taken[at].get(), three.at(at)));
            CHECK(into.control_truncated() == (taken.size() < three.size()));
        }
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("descriptors_in_a_msghdr_are_the_callers_and_those_without_room_are_closed", "[linux]") {
    const std::size_t before = open_descriptors();
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        one_to_pass passed;
        if (armed) co_await arm(passed.receiver, passed.sender);

        pieces_of_memory with(100);
        must(co_await passed.sender.send_to(passed.to, "with one", {.descriptors = passed.descriptor}));
        const std::size_t size = must(co_await passed.receiver.receive_into(with.header));
        CHECK(with.text(size) == "with one");
        CHECK_FALSE(with.control_truncated());
        const auto taken = take_descriptors(control_messages(with.header), linux_kernel());
        REQUIRE(taken.size() == 1);
        CHECK(is_same_file(taken[0].get(), passed.pipe.reading()));
        CHECK((::fcntl(taken[0].get(), F_GETFD) & FD_CLOEXEC) != 0);

        pieces_of_memory without(100, 0);
        must(co_await passed.sender.send_to(passed.to, "without room", {.descriptors = passed.descriptor}));
        const std::size_t less = must(co_await passed.receiver.receive_into(without.header));
        CHECK(without.text(less) == "without room");
        CHECK(without.control_truncated());
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("a_msghdr_whose_receive_is_destroyed_keeps_no_descriptor_open", "[linux]") {
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), []() -> task<> {
        one_to_pass passed;
        for (int round = 0; round < 20; ++round) {
            pieces_of_memory into(100);
            // What another message left behind must not be taken for descriptors of this one.
            auto* const left = static_cast<cmsghdr*>(into.header.msg_control);
            const int foreign = passed.pipe.writing();
            *left = {CMSG_LEN(sizeof foreign), SOL_SOCKET, SCM_RIGHTS};
            std::memcpy(CMSG_DATA(left), &foreign, sizeof foreign);
            std::optional<task_group> group(std::in_place, co_await this_scope{});
            group->spawn([](unix_datagram& from, msghdr& target) -> task<> {
                (void)co_await from.receive_into(target);
            }(passed.receiver, into.header));
            co_await yield();
            if (round % 2 == 0)
                must(co_await passed.sender.write_to(
                    passed.to, "with one", {.descriptors = passed.descriptor}));
            for (int turn = 0; turn < round / 2 % 3; ++turn) co_await yield();
            group.reset();
            must(co_await passed.sender.flush());
            CHECK(::fcntl(passed.pipe.writing(), F_GETFD) >= 0);
        }
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("a_task_that_is_destroyed_before_it_hears_of_its_datagram_keeps_no_descriptor_open", "[linux]") {
    const std::size_t before = open_descriptors();
    const bool has_header = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [has_header]() -> task<> {
        one_to_pass passed;
        unix_datagram first = must(unix_datagram::bind(over_unix_datagrams::somewhere()));
        co_await arm(first, passed.sender);
        pieces_of_memory into(100);
        std::array<std::byte, 100> memory{};
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        bool heard = false;
        group->spawn(
            [](unix_datagram& from, std::span<std::byte> bytes, msghdr* header, bool& told) -> task<> {
                if (header != nullptr) {
                    (void)co_await from.receive_into(*header);
                } else {
                    (void)co_await from.receive_into(bytes);
                }
                told = true;
            }(passed.receiver, memory, has_header ? &into.header : nullptr, heard));
        co_await settle();
        must(co_await passed.sender.write_to(must(first.local()), "destroys the other"));
        must(co_await passed.sender.write_to(passed.to, "with one", {.descriptors = passed.descriptor}));
        const datagram told_first = must(co_await first.receive());
        group.reset();
        CHECK_FALSE(heard);
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("descriptors_that_were_not_asked_for_are_closed_wherever_there_is_room_for_them", "[linux]") {
    const std::size_t before = open_descriptors();
    const unsigned most = GENERATE(0U, 1U);
    on_executor(GENERATE(both_modes()), [most]() -> task<> {
        one_to_pass passed;
        unix_datagram receiver = must(unix_datagram::bind(
            over_unix_datagrams::somewhere(), {.credentials = true, .descriptors = most}));
        // The room for credentials is for descriptors now.
        must(receiver.set_option(SOL_SOCKET, SO_PASSCRED, 0));
        const std::array<int, 3> three{passed.pipe.reading(), passed.pipe.writing(), passed.pipe.reading()};
        const endpoint to = must(receiver.local());

        std::array<std::byte, 10> memory{};
        must(co_await passed.sender.send_to(to, "direct", {.descriptors = three}));
        const placed_datagram placed = must(co_await receiver.receive_into(memory));
        CHECK(placed.descriptors.size() == most);
        CHECK(placed.control_truncated);

        must(co_await passed.sender.send_to(to, "in a block", {.descriptors = three}));
        const datagram got = must(co_await receiver.receive());
        CHECK(got.descriptors.size() == most);
        CHECK(got.control_truncated());

        pieces_of_memory into(100);
        must(co_await passed.sender.send_to(to, "out of a block", {.descriptors = three}));
        must(co_await receiver.receive_into(into.header));
        CHECK(take_descriptors(control_messages(into.header)).size() == most);
        CHECK(into.control_truncated());
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("the_descriptor_of_a_senders_process_is_the_receivers_too", "[linux]") {
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), []() -> task<> {
        one_to_pass passed;
        if (!passed.receiver.set_option(SOL_SOCKET, SO_PASSPIDFD, 1)) SKIP("this kernel passes none");
        must(co_await passed.sender.send_to(passed.to, "from this process"));
        const datagram got = must(co_await passed.receiver.receive());
        CHECK(got.descriptors.size() == 1);
        std::array<std::byte, 10> memory{};
        must(co_await passed.sender.send_to(passed.to, "once more"));
        const placed_datagram placed = must(co_await passed.receiver.receive_into(memory));
        CHECK(placed.descriptors.size() == 1);
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("an_empty_datagram_that_comes_as_its_socket_closes_leaves_no_descriptor_open", "[linux]") {
    const std::size_t before = open_descriptors();
    const bool has_header = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [has_header]() -> task<> {
        for (int round = 0; round < 20; ++round) {
            one_to_pass passed;
            pieces_of_memory into(100);
            co_await scope([&](task_group& group) -> task<> {
                group.spawn([](unix_datagram& from, msghdr* header) -> task<> {
                    std::array<std::byte, 10> memory{};
                    if (header != nullptr) {
                        (void)co_await from.receive_into(*header);
                    } else {
                        (void)co_await from.receive_into(memory);
                    }
                }(passed.receiver, has_header ? &into.header : nullptr));
                co_await settle();
                passed.send_empty();
                passed.receiver.abort();
            });
            CHECK(into.messages() == 0);
        }
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("what_an_earlier_message_left_is_not_seen_where_none_has_come", "[linux]") {
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        one_to_pass passed;
        if (armed) co_await arm(passed.receiver, passed.sender);
        pieces_of_memory into(100);
        const std::size_t room = into.header.msg_controllen;
        must(co_await passed.sender.send_to(passed.to, "with one", {.descriptors = passed.descriptor}));
        must(co_await passed.receiver.receive_into(into.header));
        CHECK(take_descriptors(control_messages(into.header)).size() == 1);

        into.header.msg_controllen = room;
        const auto late =
            co_await timeout(std::chrono::milliseconds(1), passed.receiver.receive_into(into.header));
        CHECK(error_of(late) == errc::timed_out);
        CHECK(into.messages() == 0);

        must(co_await passed.sender.send_to(passed.to, "with one", {.descriptors = passed.descriptor}));
        into.header.msg_controllen = room;
        must(co_await passed.receiver.receive_into(into.header));
        CHECK(take_descriptors(control_messages(into.header)).size() == 1);
        into.header.msg_controllen = room;
        must(co_await passed.receiver.close());
        const auto closed = co_await passed.receiver.receive_into(into.header);
        CHECK(error_of(closed) == errc::closed);
        CHECK(into.messages() == 0);
    });
}
