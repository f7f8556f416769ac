// A datagram in the caller's msghdr: by a receive of its own, and out of the block of one that was armed before.
#include "pieces_of_memory.hpp"

using namespace chainring;
using namespace chainring::test;

TEMPLATE_TEST_CASE("a_datagram_comes_into_the_pieces_of_a_msghdr", "", EACH_KIND) {
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        auto receiver = must(TestType::socket::bind(TestType::somewhere()));
        auto sender = must(TestType::socket::bind(TestType::somewhere()));
        const endpoint to = must(receiver.local());
        if (armed) co_await arm(receiver, sender);

        pieces_of_memory whole(100);
        must(co_await sender.send_to(to, "in two pieces"));
        const std::size_t size = must(co_await receiver.receive_into(whole.header));
        CHECK(whole.text(size) == "in two pieces");
        CHECK(whole.from() == must(sender.local()));
        CHECK(whole.header.msg_controllen == 0);
        CHECK_FALSE(whole.truncated());
        CHECK_FALSE(whole.control_truncated());

        pieces_of_memory empty(100);
        must(co_await sender.send_to(to, ""));
        const std::size_t nothing = must(co_await receiver.receive_into(empty.header));
        CHECK(nothing == 0);
        CHECK(empty.from() == must(sender.local()));
        CHECK_FALSE(empty.truncated());

        pieces_of_memory cut(2);
        must(co_await sender.send_to(to, "longer than six"));
        const std::size_t part = must(co_await receiver.receive_into(cut.header));
        CHECK(cut.text(part) == "longer");
        CHECK(cut.truncated());

        // Nobody asks who sent it.
        pieces_of_memory nameless(100);
        nameless.header.msg_name = nullptr;
        nameless.header.msg_namelen = 0;
        must(co_await sender.send_to(to, "from whom?"));
        const std::size_t last = must(co_await receiver.receive_into(nameless.header));
        CHECK(nameless.text(last) == "from whom?");
    });
}

TEST_CASE("what_the_block_has_cut_off_is_no_part_of_what_is_in_memory", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto receiver = must(udp_socket::bind({"127.0.0.1", 0}));
        auto sender = must(udp_socket::bind({"127.0.0.1", 0}));
        const endpoint to = must(receiver.local());
        co_await arm(receiver, sender);
        const std::string text(10'000, 'x');

        pieces_of_memory pieces(10'000);
        must(co_await sender.send_to(to, text));
        const std::size_t size = must(co_await receiver.receive_into(pieces.header));
        CHECK(size < 4096);
        CHECK(pieces.text(size) == text.substr(0, size));
        CHECK(pieces.truncated());

        std::vector<std::byte> memory(10'000);
        must(co_await sender.send_to(to, text));
        const placed_datagram placed = must(co_await receiver.receive_into(memory));
        CHECK(placed.payload.size() == size);
        CHECK(placed.sent_size == text.size());
        CHECK(placed.truncated);
    });
}

TEST_CASE("a_length_of_control_memory_that_is_not_there_is_no_room", "[linux]") {
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        auto receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.traffic_class = true}));
        auto sender = must(udp_socket::bind({"127.0.0.1", 0}));
        if (armed) co_await arm(receiver, sender);
        pieces_of_memory pieces(100);
        pieces.header.msg_control = nullptr;
        must(co_await sender.send_to(must(receiver.local()), "without"));
        const std::size_t size = must(co_await receiver.receive_into(pieces.header));
        CHECK(pieces.text(size) == "without");
        CHECK(pieces.control_truncated());

        pieces.header.msg_controllen = 256;
        const auto late =
            co_await timeout(std::chrono::milliseconds(1), receiver.receive_into(pieces.header));
        CHECK(error_of(late) == errc::timed_out);
        CHECK(pieces.messages() == 0);

        pieces.header.msg_controllen = 256;
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        group->spawn([](udp_socket& from, msghdr& into) -> task<> {
            (void)co_await from.receive_into(into);
        }(receiver, pieces.header));
        co_await settle();
        group.reset();
        CHECK(pieces.messages() == 0);
    });
}

TEST_CASE("control_messages_come_into_the_msghdr_whole_or_are_told_missing", "[linux]") {
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        udp_socket receiver =
            must(udp_socket::bind({"127.0.0.1", 0}, {.packet_info = true, .traffic_class = true}));
        udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}));
        const endpoint to = must(receiver.local());
        if (armed) co_await arm(receiver, sender);

        pieces_of_memory all(100);
        must(co_await sender.send_to(to, "with both", {.traffic_class = 10}));
        const std::size_t size = must(co_await receiver.receive_into(all.header));
        CHECK(all.text(size) == "with both");
        const control_messages control(all.header);
        CHECK(control.traffic_class() == 10);
        REQUIRE(control.destination().has_value());
        CHECK(control.destination()->local == endpoint("127.0.0.1", 0));
        CHECK(all.messages() == 2);
        CHECK_FALSE(all.control_truncated());

        // Room for the first one, and for a part of the second.
        pieces_of_memory one(100, CMSG_SPACE(sizeof(in_pktinfo)) + 4);
        must(co_await sender.send_to(to, "with one", {.traffic_class = 10}));
        const std::size_t less = must(co_await receiver.receive_into(one.header));
        CHECK(one.text(less) == "with one");
        CHECK(control_messages(one.header).destination().has_value());
        CHECK_FALSE(control_messages(one.header).traffic_class().has_value());
        CHECK(one.control_truncated());
        CHECK_FALSE(one.truncated());

        pieces_of_memory none(100, 0);
        must(co_await sender.send_to(to, "with none"));
        const std::size_t least = must(co_await receiver.receive_into(none.header));
        CHECK(none.text(least) == "with none");
        CHECK(none.messages() == 0);
        CHECK(none.control_truncated());
    });
}

// A receive that copies out of a block does to a header what the kernel does, whatever room there is.
TEST_CASE("what_is_copied_out_of_a_block_cuts_off_as_the_kernel_does", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const datagram_options asked{.packet_info = true, .traffic_class = true, .timestamps = true};
        udp_socket direct = must(udp_socket::bind({"127.0.0.1", 0}, asked));
        udp_socket armed = must(udp_socket::bind({"127.0.0.1", 0}, asked));
        udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}));
        co_await arm(armed, sender);
        for (std::size_t room = 0; room <= 120; ++room) {
            pieces_of_memory by_kernel(room % 10, room);
            pieces_of_memory by_copy(room % 10, room);
            by_kernel.header.msg_namelen = by_copy.header.msg_namelen = static_cast<socklen_t>(room % 20);
            must(co_await sender.send_to(must(direct.local()), "twelve bytes", {.traffic_class = 10}));
            const std::size_t expected = must(co_await direct.receive_into(by_kernel.header));
            must(co_await sender.send_to(must(armed.local()), "twelve bytes", {.traffic_class = 10}));
            const std::size_t size = must(co_await armed.receive_into(by_copy.header));
            CAPTURE(room);
            CHECK(by_copy.text(size) == by_kernel.text(expected));
            CHECK(by_copy.header.msg_flags == by_kernel.header.msg_flags);
            CHECK(by_copy.header.msg_namelen == by_kernel.header.msg_namelen);
            CHECK(by_copy.header.msg_controllen == by_kernel.header.msg_controllen);
            CHECK(by_copy.shape() == by_kernel.shape());
        }
    });
}

TEMPLATE_TEST_CASE("a_header_whose_memory_is_not_there_is_refused_and_costs_no_datagram", "", EACH_KIND) {
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        auto receiver = must(TestType::socket::bind(TestType::somewhere()));
        auto sender = must(TestType::socket::bind(TestType::somewhere()));
        if (armed) co_await arm(receiver, sender);
        must(co_await sender.send_to(must(receiver.local()), "still there"));

        pieces_of_memory into(100);
        const msghdr good = into.header;
        into.header.msg_iov[1].iov_base = nullptr;
        const auto without_piece = co_await receiver.receive_into(into.header);
        CHECK(error_of(without_piece) == std::errc::bad_address);
        into.header.msg_iov = nullptr;
        const auto without_pieces = co_await receiver.receive_into(into.header);
        CHECK(error_of(without_pieces) == std::errc::bad_address);
        into.header = good;
        into.header.msg_namelen = static_cast<socklen_t>(-1);
        const auto negative = co_await receiver.receive_into(into.header);
        CHECK(error_of(negative) == std::errc::invalid_argument);
        into.header = good;
        into.header.msg_iovlen = 2000;
        const auto too_many = co_await receiver.receive_into(into.header);
        CHECK(error_of(too_many) == std::errc::message_size);

        pieces_of_memory whole(100);
        const std::size_t size = must(co_await receiver.receive_into(whole.header));
        CHECK(whole.text(size) == "still there");
    });
}

TEST_CASE("datagrams_that_came_as_one_are_told_apart_in_memory", "[linux]") {
    const bool armed = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [armed]() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.gro = true}));
        udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}));
        const endpoint to = must(receiver.local());
        if (armed) co_await arm(receiver, sender);

        std::array<std::byte, 100> memory{};
        must(co_await sender.send_to(to, "aaaabbbbcc", {.segment_size = 4}));
        const placed_datagram placed = must(co_await receiver.receive_into(memory));
        std::vector<std::string> texts;
        for (const std::span<const std::byte> each : placed.segments())
            texts.emplace_back(reinterpret_cast<const char*>(each.data()), each.size());
        CHECK(texts == std::vector<std::string>{"aaaa", "bbbb", "cc"});
        CHECK(placed.segments().count() == 3);

        pieces_of_memory into(100);
        must(co_await sender.send_to(to, "aaaabbbbcc", {.segment_size = 4}));
        const std::size_t size = must(co_await receiver.receive_into(into.header));
        CHECK(into.text(size) == "aaaabbbbcc");
        CHECK(control_messages(into.header).segment_size() == 4);
    });
}
