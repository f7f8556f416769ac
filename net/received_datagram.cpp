#include <chainring/net/received_datagram.hpp>

#include <liburing.h>

#include <cstring>

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04 // newer than the headers of some distributions
#endif

namespace chainring {

static_assert(datagram_layout::header_size == sizeof(io_uring_recvmsg_out));

datagram_parts datagram_parts::of(std::span<const std::byte> block, const datagram_layout& layout) noexcept {
    if (block.size() < layout.payload_at()) return {};
    io_uring_recvmsg_out header;
    std::memcpy(&header, block.data(), sizeof header);
    datagram_parts found;
    found.name = block.subspan(sizeof header, std::min(header.namelen, layout.name));
    found.control = block.subspan(sizeof header + layout.name, std::min(header.controllen, layout.control));
    found.payload = block.subspan(layout.payload_at());
    // With MSG_TRUNC asked for it is the size of the whole datagram.
    found.sent_size = std::max(header.payloadlen, static_cast<std::uint32_t>(found.payload.size()));
    found.flags = header.flags;
    return found;
}

endpoint datagram::from() const noexcept {
    sockaddr_un room{}; // an internet address is no longer
    if (parts_.name.size() < sizeof(sa_family_t)) return {};
    const std::size_t size = std::min(parts_.name.size(), sizeof room);
    std::memcpy(&room, parts_.name.data(), size);
    return endpoint::from_native(reinterpret_cast<const sockaddr*>(&room), static_cast<socklen_t>(size));
}

bool brings_descriptors(const control_message& each) noexcept {
    return each.level == SOL_SOCKET && (each.type == SCM_RIGHTS || each.type == SCM_PIDFD);
}

std::vector<owned_descriptor> take_descriptors(const control_messages& from, kernel& behind) {
    std::vector<owned_descriptor> taken;
    from.for_each([&](const control_message& each) {
        if (!brings_descriptors(each)) return true;
        const std::size_t count = each.data.size() / sizeof(int);
        for (std::size_t at = 0; at < count; ++at) {
            int descriptor = -1;
            std::memcpy(&descriptor, each.data.data() + at * sizeof descriptor, sizeof descriptor);
            taken.emplace_back(descriptor, behind);
        }
        return true;
    });
    return taken;
}

} // namespace chainring
