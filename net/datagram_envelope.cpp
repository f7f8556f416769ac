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

// Whether a datagram that goes by that family may have them.
bool fit(const datagram_send_options& options, int family) noexcept {
    if (family == AF_UNIX) {
        const bool of_udp = options.segment_size != 0 || options.traffic_class ||
                            options.source.family() != AF_UNSPEC || options.interface != 0;
        return !of_udp;
    }
    const bool has_source = options.source.family() != AF_UNSPEC;
    return options.descriptors.empty() && (!has_source || carrying_family(options.source) == family);
}

in_addr ipv4_address_of(const endpoint& from) noexcept {
    in_addr found{};
    if (from.family() == AF_INET) {
        sockaddr_in four;
        std::memcpy(&four, from.address(), sizeof four);
        found = four.sin_addr;
    } else if (from.family() == AF_INET6) { // in its last four bytes
        sockaddr_in6 six;
        std::memcpy(&six, from.address(), sizeof six);
        std::memcpy(&found, six.sin6_addr.s6_addr + 12, sizeof found);
    }
    return found;
}

} // namespace

int carrying_family(const endpoint& to) noexcept {
    if (to.family() != AF_INET6) return to.family();
    sockaddr_in6 six;
    std::memcpy(&six, to.address(), sizeof six);
    return IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) ? AF_INET : AF_INET6;
}

datagram_envelope::datagram_envelope(const endpoint& to, const datagram_send_options& options, int to_peer)
    : to_(to) {
    const int family = to.family() == AF_UNSPEC ? to_peer : carrying_family(to);
    fits_ = fit(options, family);
    if (!fits_) return;
    const bool by_ipv4 = family == AF_INET;
    if (options.segment_size != 0)
        add(IPPROTO_UDP, UDP_SEGMENT, &options.segment_size, sizeof options.segment_size);
    if (options.traffic_class) {
        const int value = *options.traffic_class;
        add(by_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, by_ipv4 ? IP_TOS : IPV6_TCLASS, &value, sizeof value);
    }
    if (options.source.family() != AF_UNSPEC || options.interface != 0)
        add_source(options.source, options.interface, family);
    if (!options.descriptors.empty())
        add(SOL_SOCKET, SCM_RIGHTS, options.descriptors.data(), options.descriptors.size_bytes());
}

void datagram_envelope::add_source(const endpoint& source, unsigned interface, int family) {
    if (family == AF_INET) {
        in_pktinfo info{};
        info.ipi_ifindex = static_cast<int>(interface);
        info.ipi_spec_dst = ipv4_address_of(source);
        add(IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        return;
    }
    in6_pktinfo info{};
    info.ipi6_ifindex = interface;
    if (source.family() == AF_INET6) {
        sockaddr_in6 six;
        std::memcpy(&six, source.address(), sizeof six);
        info.ipi6_addr = six.sin6_addr;
    }
    add(IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
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
