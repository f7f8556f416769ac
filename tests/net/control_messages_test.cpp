// The view of control messages: whole ones are found, and nothing is read past the length of one, or past the memory.
#include <chainring/net/received_datagram.hpp>

#include <catch2/catch_test_macros.hpp>
#include <liburing.h>
#include <netinet/in.h>

#include <array>
#include <vector>

using namespace chainring;
using namespace std::literals;

namespace {

// Control messages as the kernel lays them out, in memory that ends with them: a sanitizer sees what is read behind it.
class laid_out {
  public:
    template <class Value> laid_out& with(int level, int type, const Value& value) {
        return with(level, type, std::as_bytes(std::span(&value, 1)), CMSG_LEN(sizeof value));
    }
    laid_out& with(int level, int type, std::span<const std::byte> data, std::size_t length) {
        cmsghdr header{};
        header.cmsg_len = length;
        header.cmsg_level = level;
        header.cmsg_type = type;
        const auto bytes = std::as_bytes(std::span(&header, 1));
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        bytes_.insert(bytes_.end(), data.begin(), data.end());
        bytes_.resize(CMSG_ALIGN(bytes_.size()));
        return *this;
    }
    // What is left when there was room for so much.
    laid_out& cut_to(std::size_t room) {
        bytes_.resize(room);
        bytes_.shrink_to_fit();
        return *this;
    }
    std::size_t size() const { return bytes_.size(); }
    control_messages view() const { return control_messages(bytes_); }

  private:
    std::vector<std::byte> bytes_;
};

laid_out everything() {
    in_pktinfo info{};
    info.ipi_ifindex = 7;
    info.ipi_addr.s_addr = htonl(0x7f00'0009);
    info.ipi_spec_dst.s_addr = htonl(0x7f00'0001);
    return laid_out()
        .with(IPPROTO_UDP, 104, int{1200})
        .with(IPPROTO_IP, IP_PKTINFO, info)
        .with(IPPROTO_IP, IP_TOS, std::uint8_t{0xb9})
        .with(SOL_SOCKET, SCM_TIMESTAMPNS, timespec{5, 7})
        .with(SOL_SOCKET, SO_RXQ_OVFL, std::uint32_t{11})
        .with(SOL_SOCKET, SCM_CREDENTIALS, ucred{1, 2, 3});
}

} // namespace

TEST_CASE("each_control_message_is_found_among_the_others") {
    const laid_out all = everything();
    const control_messages seen = all.view();
    CHECK(seen.segment_size() == 1200);
    const auto info = seen.destination();
    REQUIRE(info.has_value());
    CHECK(info->destination == endpoint("127.0.0.9", 0));
    CHECK(info->local == endpoint("127.0.0.1", 0));
    CHECK(info->interface == 7);
    CHECK(seen.traffic_class() == 0xb9);
    CHECK(seen.ecn() == ecn::capable_1);
    CHECK(seen.received_at() == receive_time(std::chrono::nanoseconds(5'000'000'007)));
    CHECK_FALSE(seen.received_by_hardware_at().has_value());
    CHECK(seen.overflows() == 11);
    const auto sender = seen.sender();
    REQUIRE(sender.has_value());
    CHECK(sender->process == 1);
    CHECK(sender->group == 3);
}

TEST_CASE("the_time_of_the_network_card_is_not_the_kernels") {
    using times = std::array<timespec, 3>; // the second one means nothing any more
    const auto with = [](const times& all) { return laid_out().with(SOL_SOCKET, SCM_TIMESTAMPING, all); };
    const laid_out both = with({{{5, 7}, {9, 9}, {6, 8}}});
    CHECK(both.view().received_at() == receive_time(5'000'000'007ns));
    CHECK(both.view().received_by_hardware_at() == receive_time(6'000'000'008ns));
    const laid_out of_card = with({{{0, 0}, {9, 9}, {6, 8}}});
    CHECK_FALSE(of_card.view().received_at().has_value());
    CHECK(of_card.view().received_by_hardware_at() == receive_time(6'000'000'008ns));
    const laid_out of_kernel = with({{{5, 7}, {9, 9}, {0, 0}}});
    CHECK(of_kernel.view().received_at() == receive_time(5'000'000'007ns));
    CHECK_FALSE(of_kernel.view().received_by_hardware_at().has_value());
    const laid_out beside =
        with({{{0, 0}, {0, 0}, {6, 8}}}).with(SOL_SOCKET, SCM_TIMESTAMPNS, timespec{5, 7});
    CHECK(beside.view().received_at() == receive_time(5'000'000'007ns));
    CHECK(beside.view().received_by_hardware_at() == receive_time(6'000'000'008ns));
    laid_out cut = with({{{5, 7}, {9, 9}, {6, 8}}});
    cut.cut_to(cut.size() - 1);
    CHECK_FALSE(cut.view().received_by_hardware_at().has_value());
}

TEST_CASE("nothing_is_found_where_there_is_nothing") {
    const control_messages none;
    CHECK_FALSE(none.segment_size().has_value());
    CHECK_FALSE(none.destination().has_value());
    CHECK_FALSE(none.traffic_class().has_value());
    CHECK_FALSE(none.received_at().has_value());
    CHECK(none.overflows() == 0);
    CHECK_FALSE(none.sender().has_value());
}

TEST_CASE("control_messages_that_end_anywhere_are_read_to_their_end_and_not_further") {
    const std::size_t whole = everything().size();
    std::size_t found_before = 0;
    for (std::size_t room = 0; room <= whole; ++room) {
        const laid_out cut = everything().cut_to(room);
        const control_messages seen = cut.view();
        std::size_t bytes = 0;
        seen.for_each([&bytes](const control_message& each) {
            bytes += CMSG_LEN(0) + each.data.size();
            return true;
        });
        REQUIRE(bytes <= room);
        const std::size_t found =
            std::size_t{seen.segment_size().has_value()} + std::size_t{seen.destination().has_value()} +
            std::size_t{seen.traffic_class().has_value()} + std::size_t{seen.received_at().has_value()} +
            std::size_t{seen.overflows() != 0} + std::size_t{seen.sender().has_value()};
        REQUIRE(found >= found_before);
        found_before = found;
    }
    CHECK(found_before == 6);
}

TEST_CASE("a_control_message_that_the_kernel_has_cut_off_is_not_taken_for_a_whole_one") {
    in_pktinfo info{};
    const auto bytes = std::as_bytes(std::span(&info, 1));
    for (std::size_t there = 0; there < sizeof info; ++there) {
        laid_out cut;
        cut.with(IPPROTO_IP, IP_PKTINFO, bytes.first(there), CMSG_LEN(there));
        REQUIRE_FALSE(cut.view().destination().has_value());
    }
}

TEST_CASE("lengths_that_cannot_be_end_the_walk") {
    const std::size_t lengths[] = {
        0, 1, CMSG_LEN(0) - 1, CMSG_LEN(4) + 1000, ~std::size_t{0}, ~std::size_t{0} / 2};
    for (const std::size_t length : lengths) {
        const int size = 1200;
        laid_out malformed;
        malformed.with(IPPROTO_IP, IP_TOS, std::uint8_t{1})
            .with(IPPROTO_UDP, 104, std::as_bytes(std::span(&size, 1)), length)
            .with(SOL_SOCKET, SO_RXQ_OVFL, std::uint32_t{11});
        const control_messages seen = malformed.view();
        CHECK(seen.traffic_class() == 1);
        CHECK(seen.overflows() == 0); // it is behind
    }
}

TEST_CASE("values_that_mean_nothing_are_left_out") {
    const int sizes[] = {0, -1, 70'000};
    for (const int size : sizes)
        CHECK_FALSE(laid_out().with(IPPROTO_UDP, 104, size).view().segment_size().has_value());
    const timespec times[] = {{0, 0}, {-1, 0}, {1, -1}, {1, 1'000'000'000}, {~(std::int64_t{1} << 63), 0}};
    for (const timespec& time : times)
        CHECK_FALSE(laid_out().with(SOL_SOCKET, SCM_TIMESTAMPNS, time).view().received_at().has_value());
}

TEST_CASE("the_parts_of_a_block_stay_within_it_whatever_its_header_says") {
    const datagram_layout layout{.name = 16, .control = 32};
    io_uring_recvmsg_out header{};
    header.namelen = header.controllen = header.payloadlen = ~0U;
    std::vector<std::byte> block(layout.payload_at() + 5);
    std::memcpy(block.data(), &header, sizeof header);
    const datagram_parts parts = datagram_parts::of(block, layout);
    CHECK(parts.name.size() == 16);
    CHECK(parts.control.size() == 32);
    CHECK(parts.payload.size() == 5);
    CHECK(parts.payload.data() + 5 == block.data() + block.size());
    for (std::size_t size = 0; size < layout.payload_at(); ++size) {
        const datagram_parts none = datagram_parts::of(std::span(block).first(size), layout);
        CHECK(none.payload.empty());
        CHECK(none.name.empty());
    }
}

TEST_CASE("segments_are_of_one_size_but_for_the_last") {
    const std::vector<std::byte> bytes(10);
    const auto sizes = [&bytes](std::size_t of_all, std::size_t of_each) {
        std::vector<std::size_t> found;
        const datagram_segments segments(std::span<const std::byte>(bytes).first(of_all), of_each);
        for (const std::span<const std::byte> each : segments) found.push_back(each.size());
        CHECK(segments.count() == found.size());
        return found;
    };
    CHECK(sizes(10, 4) == std::vector<std::size_t>{4, 4, 2});
    CHECK(sizes(8, 4) == std::vector<std::size_t>{4, 4});
    CHECK(sizes(3, 4) == std::vector<std::size_t>{3});
    CHECK(sizes(10, 0) == std::vector<std::size_t>{10});
    CHECK(sizes(0, 0) == std::vector<std::size_t>{0}); // an empty datagram is one
    CHECK(sizes(0, 4) == std::vector<std::size_t>{0});
}
