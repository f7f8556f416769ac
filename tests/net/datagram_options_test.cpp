// Options of datagram sockets, and of what they send: those that do not fit are refused, and those that do hold by either family.
#include "adopted.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

std::error_code error_of_udp(const datagram_options& options) {
    return error_of(udp_socket::bind(over_udp::somewhere(), options));
}

std::error_code error_of_unix(const datagram_options& options) {
    return error_of(unix_datagram::bind(over_unix_datagrams::somewhere(), options));
}

// Neither sent nor written, and at once.
template <class Socket>
task<> refuses(Socket& sender, const endpoint& to, const datagram_send_options& options) {
    const statistics before = executor::current()->stats();
    const auto sent = co_await sender.send_to(to, "does not fit", options);
    CHECK(error_of(sent) == std::errc::invalid_argument);
    const auto written = co_await sender.write_to(to, "does not fit", options);
    CHECK(error_of(written) == std::errc::invalid_argument);
    CHECK(sender.unsent() == 0);
    CHECK(executor::current()->stats().sqes == before.sqes);
}

// What the socket gets next was sent last, and with that.
task<> next_is(udp_socket& receiver, std::string_view text, std::optional<std::uint8_t> traffic_class) {
    const datagram got = must(co_await receiver.receive());
    CHECK(got.text() == text);
    CHECK(got.control().traffic_class() == traffic_class);
}

} // namespace

TEST_CASE("what_does_not_fit_a_kind_of_datagrams_is_refused_before_there_is_a_socket") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto refused = std::errc::invalid_argument;
        CHECK(error_of_udp({.credentials = true}) == refused);
        CHECK(error_of_udp({.descriptors = 1}) == refused);
        CHECK(error_of_unix({.packet_info = true}) == refused);
        CHECK(error_of_unix({.traffic_class = true}) == refused);
        CHECK(error_of_unix({.overflows = true}) == refused);
        CHECK(error_of_unix({.hardware_timestamps = true}) == refused);
        CHECK(error_of_unix({.gro = true}) == refused);
        CHECK(error_of_unix({.broadcast = true}) == refused);

        CHECK(error_of_unix({.descriptors = 254}) == refused);
        CHECK(error_of_unix({.descriptors = 1U << 30U}) == refused);
        CHECK_FALSE(error_of_unix({.descriptors = 253}));
        CHECK(error_of_udp({.longest = 65'536}) == refused);
        CHECK(error_of_udp({.longest = ~0U}) == refused);
        CHECK_FALSE(error_of_udp({.longest = 65'535}));
        CHECK(error_of_unix({.longest = (16U << 20U) + 1}) == refused);
        CHECK_FALSE(error_of_unix({.longest = 200'000}));
        CHECK(error_of_udp({.blocks = 0}) == refused);
        CHECK(error_of_udp({.blocks = 32'769}) == refused);

        auto pair = plain_datagrams<over_udp>();
        CHECK(error_of(udp_socket::adopt(pair.near.get(), {.descriptors = 1})) == refused);
        CHECK(pair.far.send("still the caller's"));
        const std::string read = co_await read_plain(pair.near, 18);
        CHECK(read == "still the caller's");
    });
}

TEST_CASE("options_of_a_send_that_do_not_fit_are_refused_at_once_and_nothing_is_sent") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind(over_udp::somewhere()));
        udp_socket sender = must(udp_socket::bind(over_udp::somewhere()));
        const endpoint to = must(receiver.local());
        const int descriptors[] = {0};
        co_await refuses(sender, to, {.descriptors = descriptors});
        co_await refuses(sender, to, {.source = endpoint("::1", 0)});
        co_await refuses(sender, to, {.source = over_unix_datagrams::somewhere()});
        must(co_await sender.send_to(to, "fits"));
        const datagram got = must(co_await receiver.receive());
        CHECK(got.text() == "fits");

        unix_datagram other = must(unix_datagram::bind(over_unix_datagrams::somewhere()));
        unix_datagram local = must(unix_datagram::connect(must(other.local())));
        co_await refuses(local, must(other.local()), {.segment_size = 4});
        co_await refuses(local, {}, {.segment_size = 4});
        co_await refuses(local, {}, {.traffic_class = 4});
        co_await refuses(local, {}, {.source = endpoint("127.0.0.1", 0)});
        co_await refuses(local, {}, {.interface = 1});
        must(co_await local.send("fits"));
        const datagram got_here = must(co_await other.receive());
        CHECK(got_here.text() == "fits");

        udp_socket none;
        const auto closed = co_await none.send("closed", {.descriptors = descriptors});
        CHECK(error_of(closed) == errc::closed);
        cancel_scope& here = co_await this_scope{};
        here.cancel();
        const auto cancelled = co_await local.send("cancelled", {.interface = 1});
        CHECK(error_of(cancelled) == errc::cancelled);
    });
}

TEST_CASE("a_source_must_be_of_the_family_that_its_datagram_goes_by", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket four = must(udp_socket::bind({"127.0.0.1", 0}));
        udp_socket six = must(udp_socket::bind({"::1", 0}));
        udp_socket sender = must(udp_socket::bind({"::", 0}));
        const endpoint to_four("::ffff:127.0.0.1", must(four.local()).port());
        const std::array<endpoint, 2> by_ipv4{endpoint("127.0.0.9", 0), endpoint("::ffff:127.0.0.9", 0)};
        for (const endpoint& source : by_ipv4) {
            co_await refuses(sender, must(six.local()), {.source = source});
            must(co_await sender.send_to(to_four, "from nine", {.source = source}));
            const datagram got = must(co_await four.receive());
            CHECK(got.from() == endpoint("127.0.0.9", must(sender.local()).port()));
        }
        co_await refuses(sender, to_four, {.source = endpoint("::1", 0)});
        // The same of a peer, as it is when the datagram is sent.
        must(sender.set_peer(must(six.local())));
        co_await refuses(sender, {}, {.source = by_ipv4[0]});
        must(sender.set_peer(to_four));
        co_await refuses(sender, {}, {.source = endpoint("::1", 0)});
        must(co_await sender.send("to the peer", {.source = by_ipv4[1]}));
        co_await next_is(four, "to the peer", {});
    });
}

TEST_CASE("the_traffic_class_of_a_datagram_by_ipv4_from_a_socket_for_both_families", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.traffic_class = true}));
        const std::uint16_t port = must(receiver.local()).port();
        const endpoint mapped("::ffff:127.0.0.1", port);
        const endpoint plain("127.0.0.1", port);
        udp_socket sender = must(udp_socket::bind({"::", 0}));
        must(co_await sender.send_to(mapped, "mapped", {.traffic_class = 46}));
        co_await next_is(receiver, "mapped", 46);
        must(co_await sender.send_to(plain, "plain", {.traffic_class = 45}));
        co_await next_is(receiver, "plain", 45);
        must(sender.set_peer(mapped));
        must(co_await sender.send("to the peer", {.traffic_class = 44}));
        co_await next_is(receiver, "to the peer", 44);
        udp_socket connected = must(udp_socket::connect(mapped));
        must(co_await connected.write("of connect", {.traffic_class = 43}));
        must(co_await connected.flush());
        co_await next_is(receiver, "of connect", 43);
        plain_socket made = plain_socket::connected_to(mapped, 0, SOCK_DGRAM);
        udp_socket adopted = must(udp_socket::adopt(made.get()));
        made.take();
        must(co_await adopted.send("adopted", {.traffic_class = 42}));
        co_await next_is(receiver, "adopted", 42);
        // And what the socket says of all.
        must(sender.set_traffic_class(8));
        must(co_await sender.send("of all"));
        co_await next_is(receiver, "of all", 8);
        must(sender.clear_peer());
        must(co_await sender.send_to(mapped, "of all to anybody"));
        co_await next_is(receiver, "of all to anybody", 8);
        udp_socket six = must(udp_socket::bind({"::1", 0}, {.traffic_class = true}));
        must(co_await sender.send_to(must(six.local()), "by IPv6"));
        co_await next_is(six, "by IPv6", 8);
    });
}
