// Groups: heard by those who have joined them and nobody else, by IPv4 and by IPv6. Nothing leaves this machine: what is sent may
// pass no router, nor, by IPv6, be heard beyond the interface.
#include "adopted.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// One by which there are groups of IPv6; 0: there is none. The loopback interface has no route to them.
unsigned interface_of_ipv6_groups() {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return 0;
    unsigned found = 0;
    for (const ifaddrs* each = all; each != nullptr && found == 0; each = each->ifa_next) {
        constexpr unsigned wanted = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
        const bool has_groups = (each->ifa_flags & (wanted | IFF_LOOPBACK)) == wanted;
        if (has_groups && each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET6)
            found = ::if_nametoindex(each->ifa_name);
    }
    ::freeifaddrs(all);
    return found;
}

struct groups {
    std::string_view from; // any of this machine's addresses
    std::string_view one;
    std::string_view other;
    unsigned interface;
};

groups of_ipv4() {
    return {"0.0.0.0", "239.255.77.1", "239.255.77.2", ::if_nametoindex("lo")};
}

udp_socket bound_to(const endpoint& at) {
    datagram_options options;
    options.packet_info = true;
    options.socket.reuse_port = true;
    return must(udp_socket::bind(at, options));
}

udp_socket sender_to(const groups& of) {
    udp_socket sender = must(udp_socket::bind(endpoint(of.from, 0)));
    must(sender.set_multicast_interface(of.interface));
    must(sender.set_multicast_hops(0));
    must(sender.set_multicast_loop(true));
    return sender;
}

task<> hears(udp_socket& member, std::string_view text) {
    const datagram got = must(co_await member.receive());
    CHECK(got.text() == text);
}

task<> only_members_hear(const groups& of) {
    udp_socket member = bound_to(endpoint(of.from, 0));
    udp_socket stranger = bound_to(must(member.local()));
    udp_socket sender = sender_to(of);
    const endpoint one(of.one, must(member.local()).port());
    const endpoint other(of.other, one.port());
    must(member.join(one, of.interface));
    must(stranger.join(other, of.interface));
    must(co_await sender.send_to(one, "to one"));
    must(co_await sender.send_to(other, "to the other"));
    const datagram got = must(co_await member.receive());
    CHECK(got.text() == "to one");
    const auto info = got.control().destination();
    REQUIRE(info.has_value());
    CHECK(info->destination == endpoint(of.one, 0));
    CHECK(info->interface == of.interface);
    co_await hears(stranger, "to the other");
    CHECK(error_of(member.join(one, of.interface)) == std::errc::address_in_use);

    // One that has left it, while somebody is in it still.
    must(stranger.join(one, of.interface));
    must(member.join(other, of.interface));
    must(member.leave(one, of.interface));
    CHECK(error_of(member.leave(one, of.interface)) == std::errc::address_not_available);
    must(co_await sender.send_to(one, "to one"));
    must(co_await sender.send_to(other, "to both"));
    co_await hears(member, "to both");
    co_await hears(stranger, "to one");
    co_await hears(stranger, "to both");
}

} // namespace

TEST_CASE("a_group_is_heard_by_those_who_have_joined_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const groups of = of_ipv4();
        co_await only_members_hear(of);
    });
}

TEST_CASE("a_group_of_ipv6_is_heard_by_those_who_have_joined_it", "[linux]") {
    const unsigned interface = interface_of_ipv6_groups();
    if (interface == 0) SKIP("no interface with IPv6 and groups here");
    on_executor(GENERATE(both_modes()), [interface]() -> task<> {
        const groups of{"::", "ff01::77:1", "ff01::77:2", interface};
        co_await only_members_hear(of);
    });
}

TEST_CASE("a_socket_for_both_families_joins_a_group_of_ipv4_and_sends_to_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        groups of = of_ipv4();
        of.from = "::";
        co_await only_members_hear(of);
    });
}

TEST_CASE("who_has_made_a_socket_that_is_adopted_has_chosen_which_groups_it_hears", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const udp_socket own = must(udp_socket::bind({"::", 0}));
        CHECK(must(own.option(IPPROTO_IP, IP_MULTICAST_ALL)) == 0);
        CHECK(must(own.option(IPPROTO_IPV6, IPV6_MULTICAST_ALL)) == 0);
        plain_socket four = plain_socket::bound({"0.0.0.0", 0}, SOCK_DGRAM);
        const udp_socket by_ipv4 = must(udp_socket::adopt(four.get()));
        four.take();
        CHECK(must(by_ipv4.option(IPPROTO_IP, IP_MULTICAST_ALL)) == 1);
        plain_socket six = plain_socket::bound({"::", 0}, SOCK_DGRAM);
        const udp_socket by_ipv6 = must(udp_socket::adopt(six.get()));
        six.take();
        CHECK(must(by_ipv6.option(IPPROTO_IPV6, IPV6_MULTICAST_ALL)) == 1);
        co_return;
    });
}
