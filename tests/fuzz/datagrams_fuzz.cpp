// Blocks of a multishot recvmsg, and their control messages, made of any bytes: nothing is read beside them, and what is found
// lies within them. The first two bytes of an input say how much room was asked for.
#include <chainring/net/received_datagram.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>

using namespace chainring;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

bool is_within(std::span<const std::byte> part, std::span<const std::byte> whole) {
    return part.empty() ||
           (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void look_at(const control_messages& said, std::span<const std::byte> whole) {
    std::size_t bytes = 0;
    said.for_each([&](const control_message& each) {
        require(is_within(each.data, whole));
        bytes += CMSG_LEN(0) + each.data.size();
        return true;
    });
    require(bytes <= said.bytes().size());
    if (const auto size = said.segment_size()) require(*size != 0);
    if (const auto info = said.destination()) require(info->destination.family() != AF_UNSPEC);
    if (const auto value = said.traffic_class()) require(said.ecn() == static_cast<ecn>(*value & 3U));
    if (const auto at = said.received_at()) require(at->time_since_epoch().count() > 0);
    (void)said.received_by_hardware_at();
    (void)said.overflows();
    (void)said.sender();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const datagram_layout layout{.name = data[0], .control = data[1]};
    // In memory of exactly that size, so that the sanitizer sees what is read behind it.
    const std::size_t length = size - 2;
    const auto memory = std::make_unique<std::byte[]>(length);
    std::memcpy(memory.get(), data + 2, length);
    const std::span<const std::byte> block(memory.get(), length);

    look_at(control_messages(block), block);
    const datagram_parts parts = datagram_parts::of(block, layout);
    require(
        is_within(parts.name, block) && is_within(parts.control, block) && is_within(parts.payload, block));
    require(parts.name.size() <= layout.name && parts.control.size() <= layout.control);
    require(parts.sent_size >= parts.payload.size());
    look_at(control_messages(parts.control), block);
    const std::size_t of_each = control_messages(parts.control).segment_size().value_or(0);
    std::size_t bytes = 0;
    std::size_t count = 0;
    for (const std::span<const std::byte> each : datagram_segments(parts.payload, of_each)) {
        require(is_within(each, parts.payload));
        bytes += each.size();
        ++count;
    }
    require(bytes == parts.payload.size() && count == datagram_segments(parts.payload, of_each).count());
    return 0;
}
