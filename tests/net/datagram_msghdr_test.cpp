// A datagram in the caller's msghdr: by a receive of its own, and out of the block of one that was armed before.
#include "datagrams.hpp"
#include "runtime/steps.hpp"

#include <array>
#include <tuple>

using namespace chainring;
using namespace chainring::test;

namespace {

// Two pieces of four bytes and of `second`, and room for control messages.
class pieces_of_memory {
  public:
    explicit pieces_of_memory(std::size_t second, std::size_t control = 256)
        : second_(second) {
        pieces_[0] = {first_.data(), first_.size()};
        pieces_[1] = {second_.data(), second_.size()};
        header.msg_iov = pieces_.data();
        header.msg_iovlen = pieces_.size();
        header.msg_name = &name_;
        header.msg_namelen = sizeof name_;
        header.msg_control = control_.data();
        header.msg_controllen = control;
    }
    pieces_of_memory(pieces_of_memory&&) = delete;

    std::string text(std::size_t size) const {
        const std::string all =
            std::string(first_.data(), first_.size()) + std::string(second_.data(), second_.size());
        return all.substr(0, size);
    }
    endpoint from() const {
        return endpoint::from_native(reinterpret_cast<const sockaddr*>(&name_), header.msg_namelen);
    }
    bool truncated() const { return (header.msg_flags & MSG_TRUNC) != 0; }
    bool control_truncated() const { return (header.msg_flags & MSG_CTRUNC) != 0; }
    std::size_t messages() const {
        std::size_t count = 0;
        control_messages(header).for_each([&count](const control_message&) { return ++count != 0; });
        return count;
    }

    // Of each control message its level, type and length; what they tell differs.
    std::vector<std::tuple<int, int, std::size_t>> shape() const {
        std::vector<std::tuple<int, int, std::size_t>> all;
        control_messages(header).for_each([&all](const control_message& each) {
            all.emplace_back(each.level, each.type, each.data.size());
            return true;
        });
        return all;
    }

    msghdr header{};

  private:
    std::array<char, 4> first_{};
    std::vector<char> second_;
    std::array<iovec, 2> pieces_{};
    sockaddr_un name_{};
    alignas(cmsghdr) std::array<std::byte, 256> control_{};
};

// The kernel's receive is armed from here on, and what is received into memory comes from a block.
template <class Socket> task<> arm(Socket& receiver, Socket& sender) {
    must(co_await sender.send_to(must(receiver.local()), "to arm"));
    const datagram first = must(co_await receiver.receive());
    CHECK(first.text() == "to arm");
}

// A receiver with room for one descriptor, somebody who sends to it, and a descriptor to send.
struct one_to_pass {
    pipe_ends pipe;
    std::array<int, 1> descriptor{pipe.reading()};
    unix_datagram receiver = must(unix_datagram::bind(over_unix_datagrams::somewhere(), {.descriptors = 1}));
    unix_datagram sender = must(unix_datagram::bind(over_unix_datagrams::somewhere()));
    endpoint to = must(receiver.local());
};

} // namespace

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
