#include <chainring/net/control_messages.hpp>

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <ctime>

#ifndef UDP_GRO
#define UDP_GRO 104 // newer than the headers of some distributions
#endif

namespace chainring {

namespace {

// SCM_TIMESTAMPING: by the kernel, nothing any more, and by the network card.
struct three_times {
    timespec software;
    timespec unused;
    timespec hardware;
};

// Zero: there is none. Nor is one beyond what nanoseconds count.
std::optional<receive_time> as_time(const timespec& given) noexcept {
    constexpr std::int64_t most_seconds = 9'000'000'000;
    constexpr std::int64_t second = 1'000'000'000; // in nanoseconds
    if (given.tv_sec == 0 && given.tv_nsec == 0) return {};
    if (given.tv_sec < 0 || given.tv_sec > most_seconds || given.tv_nsec < 0 || given.tv_nsec >= second)
        return {};
    return receive_time(std::chrono::seconds(given.tv_sec) + std::chrono::nanoseconds(given.tv_nsec));
}

endpoint without_port(const in_addr& address) noexcept {
    sockaddr_in made{};
    made.sin_family = AF_INET;
    made.sin_addr = address;
    return endpoint::from_native(reinterpret_cast<const sockaddr*>(&made), sizeof made);
}

endpoint without_port(const in6_addr& address, unsigned interface) noexcept {
    sockaddr_in6 made{};
    made.sin6_family = AF_INET6;
    made.sin6_addr = address;
    if (IN6_IS_ADDR_LINKLOCAL(&address)) made.sin6_scope_id = interface;
    return endpoint::from_native(reinterpret_cast<const sockaddr*>(&made), sizeof made);
}

} // namespace

// Lengths that cannot be end the walk.
bool control_messages::take_first(std::span<const std::byte>& rest, control_message& found) noexcept {
    cmsghdr header;
    if (rest.size() < sizeof header) return false;
    std::memcpy(&header, rest.data(), sizeof header);
    if (header.cmsg_len < CMSG_LEN(0)) return false;
    const std::size_t length = std::min<std::size_t>(header.cmsg_len, rest.size());
    found = {header.cmsg_level, header.cmsg_type, rest.subspan(CMSG_LEN(0), length - CMSG_LEN(0))};
    rest = rest.subspan(std::min(CMSG_ALIGN(length), rest.size()));
    return true;
}

std::optional<std::uint16_t> control_messages::segment_size() const noexcept {
    const auto size = find<int>(IPPROTO_UDP, UDP_GRO);
    if (!size || *size <= 0 || *size > 0xffff) return {};
    return static_cast<std::uint16_t>(*size);
}

std::optional<packet_info> control_messages::destination() const noexcept {
    if (const auto four = find<in_pktinfo>(IPPROTO_IP, IP_PKTINFO))
        return packet_info{
            without_port(four->ipi_addr), without_port(four->ipi_spec_dst),
            static_cast<unsigned>(four->ipi_ifindex)};
    const auto six = find<in6_pktinfo>(IPPROTO_IPV6, IPV6_PKTINFO);
    if (!six) return {};
    const endpoint at = without_port(six->ipi6_addr, six->ipi6_ifindex);
    return packet_info{at, IN6_IS_ADDR_MULTICAST(&six->ipi6_addr) ? endpoint() : at, six->ipi6_ifindex};
}

std::optional<std::uint8_t> control_messages::traffic_class() const noexcept {
    if (const auto four = find<std::uint8_t>(IPPROTO_IP, IP_TOS)) return four;
    const auto six = find<int>(IPPROTO_IPV6, IPV6_TCLASS);
    if (!six) return {};
    return static_cast<std::uint8_t>(*six);
}

std::optional<receive_time> control_messages::received_at() const noexcept {
    if (const auto at = find<timespec>(SOL_SOCKET, SCM_TIMESTAMPNS)) return as_time(*at);
    const auto all = find<three_times>(SOL_SOCKET, SCM_TIMESTAMPING);
    return all ? as_time(all->software) : std::nullopt;
}

std::optional<receive_time> control_messages::received_by_hardware_at() const noexcept {
    const auto all = find<three_times>(SOL_SOCKET, SCM_TIMESTAMPING);
    return all ? as_time(all->hardware) : std::nullopt;
}

std::uint32_t control_messages::overflows() const noexcept {
    return find<std::uint32_t>(SOL_SOCKET, SO_RXQ_OVFL).value_or(0);
}

std::optional<credentials> control_messages::sender() const noexcept {
    const auto found = find<ucred>(SOL_SOCKET, SCM_CREDENTIALS);
    if (!found) return {};
    return credentials{found->pid, found->uid, found->gid};
}

} // namespace chainring
