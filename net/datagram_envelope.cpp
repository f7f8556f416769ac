#include <chainring/net/control_messages.hpp>
#include <chainring/net/datagram_envelope.hpp>

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstring>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 // newer than the headers of some distributions
#endif

namespace chainring {

namespace {

// What goes to such an address goes by IPv4, also from a socket for IPv6.
bool goes_by_ipv4(const endpoint& to, int family) noexcept {
    if (to.family() != AF_INET6) return family == AF_INET;
    sockaddr_in6 six;
    std::memcpy(&six, to.address(), sizeof six);
    return IN6_IS_ADDR_V4MAPPED(&six.sin6_addr);
}

} // namespace

datagram_envelope::datagram_envelope(const endpoint& to, const datagram_send_options& options, int family)
    : to_(to) {
    const bool by_ipv4 = goes_by_ipv4(to, family);
    if (options.segment_size != 0)
        add(IPPROTO_UDP, UDP_SEGMENT, &options.segment_size, sizeof options.segment_size);
    if (options.traffic_class) {
        const int value = *options.traffic_class;
        add(by_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, by_ipv4 ? IP_TOS : IPV6_TCLASS, &value, sizeof value);
    }
    if (options.source.family() == AF_INET || (options.interface != 0 && family == AF_INET)) {
        in_pktinfo info{};
        info.ipi_ifindex = static_cast<int>(options.interface);
        if (options.source.family() == AF_INET) {
            sockaddr_in source;
            std::memcpy(&source, options.source.address(), sizeof source);
            info.ipi_spec_dst = source.sin_addr;
        }
        add(IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else if (options.source.family() == AF_INET6 || options.interface != 0) {
        in6_pktinfo info{};
        info.ipi6_ifindex = options.interface;
        if (options.source.family() == AF_INET6) {
            sockaddr_in6 source;
            std::memcpy(&source, options.source.address(), sizeof source);
            info.ipi6_addr = source.sin6_addr;
        }
        add(IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
    if (!options.descriptors.empty())
        add(SOL_SOCKET, SCM_RIGHTS, options.descriptors.data(), options.descriptors.size_bytes());
}

datagram_send_options datagram_envelope::options_of(std::span<const std::byte> control) noexcept {
    datagram_send_options options;
    control_messages(control).for_each([&options](const control_message& each) {
        const auto read = [&each](auto& value) { std::memcpy(&value, each.data.data(), sizeof value); };
        const bool of_class = (each.level == IPPROTO_IP && each.type == IP_TOS) ||
                              (each.level == IPPROTO_IPV6 && each.type == IPV6_TCLASS);
        if (each.level == IPPROTO_UDP && each.type == UDP_SEGMENT) {
            read(options.segment_size);
        } else if (of_class) {
            int value = 0;
            read(value);
            options.traffic_class = static_cast<std::uint8_t>(value);
        } else if (each.level == IPPROTO_IP && each.type == IP_PKTINFO) {
            in_pktinfo info{};
            read(info);
            sockaddr_in source{};
            source.sin_family = AF_INET;
            source.sin_addr = info.ipi_spec_dst;
            options.interface = static_cast<unsigned>(info.ipi_ifindex);
            if (source.sin_addr.s_addr != INADDR_ANY)
                options.source =
                    endpoint::from_native(reinterpret_cast<const sockaddr*>(&source), sizeof source);
        } else if (each.level == IPPROTO_IPV6 && each.type == IPV6_PKTINFO) {
            in6_pktinfo info{};
            read(info);
            sockaddr_in6 source{};
            source.sin6_family = AF_INET6;
            source.sin6_addr = info.ipi6_addr;
            options.interface = info.ipi6_ifindex;
            if (!IN6_IS_ADDR_UNSPECIFIED(&source.sin6_addr))
                options.source =
                    endpoint::from_native(reinterpret_cast<const sockaddr*>(&source), sizeof source);
        }
        return true;
    });
    return options;
}

void datagram_envelope::add(int level, int type, const void* data, std::size_t size) {
    const std::size_t before = size_;
    size_ += CMSG_SPACE(size);
    if (size_ > few_.size()) {
        if (longer_.empty()) longer_.assign(few_.begin(), few_.begin() + static_cast<std::ptrdiff_t>(before));
        longer_.resize(size_);
    }
    const std::span<std::byte> added = control().subspan(before);
    std::ranges::fill(added, std::byte{});
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(size);
    header.cmsg_level = level;
    header.cmsg_type = type;
    std::memcpy(added.data(), &header, sizeof header);
    std::memcpy(added.data() + CMSG_LEN(0), data, size);
}

} // namespace chainring
