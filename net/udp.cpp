#include <chainring/net/udp.hpp>

#include <netinet/in.h>

#include <cstring>

namespace chainring {

result<udp_socket> udp_socket::bind(const endpoint& at, const datagram_options& options) {
    result<socket_pointer<bound_socket>> made = bound_socket::make(kind, at, {}, options);
    if (!made) return failure(made.error());
    return udp_socket(std::move(*made));
}

result<udp_socket>
udp_socket::connect(const endpoint& to, const endpoint& from, const datagram_options& options) {
    result<socket_pointer<bound_socket>> made = bound_socket::make(kind, from, to, options);
    if (!made) return failure(made.error());
    return udp_socket(std::move(*made));
}

result<udp_socket> udp_socket::adopt(adoptable given, const datagram_options& options) {
    result<socket_pointer<bound_socket>> made = bound_socket::adopt(kind, given, options);
    if (!made) return failure(made.error());
    return udp_socket(std::move(*made));
}

result<void>
udp_socket::change_membership(const endpoint& group, unsigned interface, int of_ipv4, int of_ipv6) noexcept {
    bound_socket* const of = opened();
    if (of == nullptr) return failure(errc::closed);
    if (group.family() == AF_INET) {
        sockaddr_in four;
        std::memcpy(&four, group.address(), sizeof four);
        ip_mreqn wanted{};
        wanted.imr_multiaddr = four.sin_addr;
        wanted.imr_ifindex = static_cast<int>(interface);
        return of->set(IPPROTO_IP, of_ipv4, &wanted, sizeof wanted);
    }
    if (group.family() != AF_INET6) return failure(fault::from_errno(EAFNOSUPPORT));
    sockaddr_in6 six;
    std::memcpy(&six, group.address(), sizeof six);
    const ipv6_mreq wanted{six.sin6_addr, interface};
    return of->set(IPPROTO_IPV6, of_ipv6, &wanted, sizeof wanted);
}

result<void> udp_socket::join(const endpoint& group, unsigned interface) noexcept {
    return change_membership(group, interface, IP_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP);
}

result<void> udp_socket::leave(const endpoint& group, unsigned interface) noexcept {
    return change_membership(group, interface, IP_DROP_MEMBERSHIP, IPV6_DROP_MEMBERSHIP);
}

result<void> udp_socket::set_multicast_interface(unsigned interface) noexcept {
    bound_socket* const of = opened();
    if (of == nullptr) return failure(errc::closed);
    if (family() == AF_INET6) {
        const result<void> by_ipv6 = of->set(IPPROTO_IPV6, IPV6_MULTICAST_IF, static_cast<int>(interface));
        if (!by_ipv6) return by_ipv6;
    }
    ip_mreqn wanted{};
    wanted.imr_ifindex = static_cast<int>(interface);
    return of->set(IPPROTO_IP, IP_MULTICAST_IF, &wanted, sizeof wanted);
}

result<void> udp_socket::set_multicast_hops(unsigned hops) noexcept {
    return set_by_family(IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, static_cast<int>(hops));
}

result<void> udp_socket::set_multicast_loop(bool on) noexcept {
    return set_by_family(IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, on ? 1 : 0);
}

result<void> udp_socket::set_traffic_class(std::uint8_t value) noexcept {
    return set_by_family(IP_TOS, IPV6_TCLASS, value);
}

result<void> udp_socket::set_path_mtu_discovery(path_mtu_discovery how) noexcept {
    switch (how) {
    case path_mtu_discovery::fragment:
        return set_by_family(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DONT);
    case path_mtu_discovery::learn:
        return set_by_family(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_WANT);
    case path_mtu_discovery::dont_fragment:
        return set_by_family(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO);
    case path_mtu_discovery::probe: break;
    }
    return set_by_family(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

result<unsigned> udp_socket::path_mtu() const noexcept {
    const bool six = family() == AF_INET6;
    const result<int> found = option(six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MTU : IP_MTU);
    if (!found) return failure(found.error());
    return static_cast<unsigned>(*found);
}

result<void> udp_socket::set_by_family(int of_ipv4, int of_ipv6, int value) noexcept {
    if (family() == AF_INET6) {
        const result<void> by_ipv6 = set_option(IPPROTO_IPV6, of_ipv6, value);
        if (!by_ipv6) return by_ipv6;
    }
    return set_option(IPPROTO_IP, of_ipv4, value);
}

} // namespace chainring
