// What comes beside datagrams, compared one by one with what was sent.
#include "datagrams.hpp"

#include <catch2/catch_get_random_seed.hpp>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <netinet/in.h>

#include <deque>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

datagram_options with_everything() {
    datagram_options options;
    options.socket.receive_buffer = 4 * 1024 * 1024;
    options.packet_info = options.traffic_class = options.timestamps = options.overflows = options.gro = true;
    return options;
}

receive_time wall_clock() {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

// One as it left.
struct sent_datagram {
    std::string bytes;
    endpoint source;
    endpoint destination;
    std::uint8_t traffic_class = 0;
    std::uint16_t of_a_batch_with = 0; // segment size
    receive_time at;
};

class conversation {
  public:
    conversation(udp_socket& sender, udp_socket& receiver, std::uint32_t seed)
        : sender_(sender)
        , receiver_(receiver)
        , random_(seed)
        , from_port_(must(sender.local()).port())
        , to_port_(must(receiver.local()).port()) {
        // Any of this machine's addresses.
        if (must(sender.local()).family() == AF_INET6) hosts_ = {"::1"};
    }

    // One send, which is one datagram or a batch of them.
    task<> send() {
        datagram_send_options options;
        options.traffic_class = static_cast<std::uint8_t>(random_());
        const std::string_view source = hosts_[random_() % hosts_.size()];
        const std::string_view destination = hosts_[random_() % hosts_.size()];
        options.source = endpoint(source, 0);
        std::size_t size = random_() % 16 == 0 ? 0 : random_() % 3000;
        if (random_() % 4 == 0) {
            options.segment_size = static_cast<std::uint16_t>(random_() % 1400 + 1);
            size = random_() % (std::size_t{options.segment_size} * 10) + 1;
        }
        const std::string bytes = noise_.substr(random_() % noise_.size() / 2, size);
        const endpoint to(destination, to_port_);
        sent_datagram each{
            {},
            endpoint(source, from_port_),
            endpoint(destination, 0),
            *options.traffic_class,
            options.segment_size,
            wall_clock()};
        const std::size_t of_each = options.segment_size == 0 ? size : options.segment_size;
        for (std::size_t at = 0; at < size || at == 0; at += std::max<std::size_t>(of_each, 1)) {
            each.bytes = bytes.substr(at, of_each);
            expected_.push_back(each);
            ++sent_;
        }
        must(co_await sender_.write_to(to, std::string_view(bytes), options));
    }

    task<> receive_all() {
        must(co_await sender_.flush());
        while (!expected_.empty()) {
            const datagram got = must(co_await receiver_.receive());
            compare(got);
        }
    }

    std::size_t sent() const { return sent_; }     // datagrams
    std::size_t joined() const { return joined_; } // to the one before

  private:
    // An assertion for each of them would take most of the time.
    void compare(const datagram& got) {
        const control_messages said = got.control();
        const auto info = said.destination();
        const auto at = said.received_at();
        const bool whole = !got.truncated() && !got.control_truncated() &&
                           got.sent_size() == got.payload().size() && said.overflows() == 0;
        if (!whole || !info || !at || info->interface != loopback_ || *at > wall_clock())
            FAIL("not all that was asked for came with " << got.text());
        joined_ += got.segments().count() - 1;
        for (const std::span<const std::byte> segment : got.segments()) {
            if (expected_.empty()) FAIL("more than was sent");
            const sent_datagram& sent = expected_.front();
            const std::pair<const char*, bool> all[] = {
                {"bytes", as_text(segment) == sent.bytes},
                {"sender", got.from() == sent.source},
                {"destination", info->destination == sent.destination && info->local == sent.destination},
                {"traffic class", said.traffic_class() == sent.traffic_class},
                {"ECN", said.ecn() == static_cast<ecn>(sent.traffic_class & 3U)},
                {"time", *at >= sent.at},
                {"segment size", got.segments().count() == 1 || said.segment_size() == sent.of_a_batch_with}};
            for (const auto& [what, is_as_sent] : all)
                if (!is_as_sent) FAIL("another " << what << " than was sent");
            expected_.pop_front();
        }
    }

    static std::string_view as_text(std::span<const std::byte> bytes) {
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    udp_socket& sender_;
    udp_socket& receiver_;
    std::minstd_rand random_;
    const std::string noise_ = random_text(40'000, 1);
    std::uint16_t from_port_;
    std::uint16_t to_port_;
    std::vector<std::string_view> hosts_ = {"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"};
    unsigned loopback_ = ::if_nametoindex("lo");
    std::deque<sent_datagram> expected_;
    std::size_t sent_ = 0;
    std::size_t joined_ = 0;
};

} // namespace

TEST_CASE("ten_thousand_datagrams_arrive_as_they_were_sent_with_all_that_was_asked_for", "[linux]") {
    const std::uint32_t seed = Catch::getSeed();
    CAPTURE(seed);
    on_executor(GENERATE(both_modes()), [seed]() -> task<> {
        constexpr std::size_t datagrams = 2500; // at least, in each mode, by IPv4 and by IPv6
        const std::array<std::string_view, 2> all_addresses{"0.0.0.0", "::1"};
        for (const std::string_view address : all_addresses) {
            udp_socket receiver = must(udp_socket::bind(endpoint(address, 0), with_everything()));
            udp_socket sender = must(udp_socket::bind(endpoint(address, 0)));
            conversation both(sender, receiver, seed);
            for (int sends = 0; both.sent() < datagrams; ++sends) {
                co_await both.send();
                if (sends % 8 == 7) co_await both.receive_all();
            }
            co_await both.receive_all();
            CHECK(both.joined() > 0);
        }
    });
}

TEST_CASE("a_datagram_that_is_longer_than_its_block_is_cut_off_and_says_so", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.traffic_class = true}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        const std::string text = random_text(9000, 1);
        const std::array<std::size_t, 4> sizes{3000, 5000, 9000, 1};
        for (const std::size_t size : sizes) {
            must(co_await sender.send(std::string_view(text).substr(0, size)));
            const datagram got = must(co_await receiver.receive());
            CHECK(got.truncated() == (size > 4096));
            CHECK(got.sent_size() == size);
            CHECK(got.text() == std::string_view(text).substr(0, got.payload().size()));
            CHECK(got.payload().size() == (size > 4096 ? 4096 - 16 - 32 - 24 : size));
            CHECK(got.control().traffic_class() == 0);
        }
        // One with room for it.
        udp_socket roomy = must(udp_socket::bind({"127.0.0.1", 0}, {.longest = 9000}));
        must(co_await sender.send_to(must(roomy.local()), text));
        const datagram whole = must(co_await roomy.receive());
        CHECK_FALSE(whole.truncated());
        CHECK(whole.text() == text);
        // The caller's memory.
        std::array<std::byte, 100> small{};
        must(co_await sender.send_to(must(roomy.local()), text));
        const placed_datagram placed = must(co_await roomy.receive_into(small));
        CHECK(placed.truncated);
        CHECK(placed.payload.size() == 100);
        CHECK(placed.sent_size == 9000);
    });
}

TEST_CASE("control_messages_without_room_are_told_and_those_that_are_there_are_whole", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.traffic_class = true}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        // Nobody made room for these; the kernel puts the first of them before what was asked for.
        must(receiver.set_option(IPPROTO_IP, IP_PKTINFO, 1));
        must(receiver.set_option(IPPROTO_IP, IP_RECVTTL, 1));
        std::array<std::byte, 100> memory{};
        must(co_await sender.send("into memory"));
        const placed_datagram placed = must(co_await receiver.receive_into(memory));
        CHECK(placed.control_truncated);
        CHECK_FALSE(placed.truncated);
        CHECK_FALSE(placed.control().destination().has_value());
        CHECK_FALSE(placed.control().traffic_class().has_value());
        must(co_await sender.send("into a block"));
        const datagram got = must(co_await receiver.receive());
        CHECK(got.control_truncated());
        CHECK_FALSE(got.truncated());
        CHECK(got.text() == "into a block");
        CHECK(got.from() == must(sender.local()));
        CHECK_FALSE(got.control().destination().has_value());
        CHECK_FALSE(got.control().traffic_class().has_value());
        // And from there on as before.
        must(receiver.set_option(IPPROTO_IP, IP_PKTINFO, 0));
        must(receiver.set_option(IPPROTO_IP, IP_RECVTTL, 0));
        must(co_await sender.send("behind", {.traffic_class = 8}));
        const datagram behind = must(co_await receiver.receive());
        CHECK_FALSE(behind.control_truncated());
        CHECK(behind.control().traffic_class() == 8);
    });
}

// No card is needed for that: the kernel's own time comes in the same message.
TEST_CASE("the_time_of_the_network_card_is_asked_for_and_has_room", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver =
            must(udp_socket::bind({"127.0.0.1", 0}, {.timestamps = true, .hardware_timestamps = true}));
        CHECK(
            must(receiver.option(SOL_SOCKET, SO_TIMESTAMPING)) ==
            (SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE));
        must(receiver.set_option(
            SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        must(co_await sender.send("timed"));
        const datagram got = must(co_await receiver.receive());
        CHECK_FALSE(got.control_truncated());
        CHECK(got.control().received_at().has_value());
        CHECK_FALSE(got.control().received_by_hardware_at().has_value());
        int times = 0;
        got.control().for_each([&times](const control_message& each) {
            times += each.level == SOL_SOCKET && each.type == SCM_TIMESTAMPING ? 1 : 0;
            return true;
        });
        CHECK(times == 1);
    });
}

TEST_CASE("what_a_socket_for_both_families_says_of_a_datagram_by_ipv4", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        datagram_options options;
        options.packet_info = options.traffic_class = true;
        udp_socket receiver = must(udp_socket::bind({"::", 0}, options));
        udp_socket sender = must(udp_socket::bind({"0.0.0.0", 0}));
        const endpoint to("127.0.0.5", must(receiver.local()).port());
        must(co_await sender.send_to(to, "by IPv4", {.traffic_class = 0x2e}));
        const datagram got = must(co_await receiver.receive());
        CHECK_FALSE(got.control_truncated());
        CHECK(got.control().traffic_class() == 0x2e);
        const auto info = got.control().destination();
        REQUIRE(info.has_value());
        const bool is_its_address = info->destination == endpoint("127.0.0.5", 0) ||
                                    info->destination == endpoint("::ffff:127.0.0.5", 0);
        CHECK(is_its_address);
        // And back, to what it calls the sender, from the address that it was sent to.
        must(co_await receiver.send_to(got.from(), "back", {.traffic_class = 4}));
        std::array<std::byte, 10> memory{};
        const placed_datagram back = must(co_await sender.receive_into(memory));
        CHECK(back.payload.size() == 4);
    });
}
