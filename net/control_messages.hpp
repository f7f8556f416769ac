// control_messages: what the kernel says beside a datagram, as a view of memory that belongs to whoever holds the datagram.
//
// The kernel cuts off a control message for which there is no room, and says so with MSG_CTRUNC only. What is cut off is not
// there for the functions below: none reads past the length that a message has, nor past the memory.
#pragma once

#include <chainring/net/credentials.hpp>
#include <chainring/net/endpoint.hpp>

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace chainring {

// One of them, as it is.
struct control_message {
    int level = 0; // SOL_SOCKET, IPPROTO_IP, ...
    int type = 0;
    std::span<const std::byte> data; // of a message that was cut off: what is there of it
};

// Where a datagram was sent to, and where it came in.
struct packet_info {
    endpoint destination; // with port 0
    // The address of this machine from which an answer to it goes; not that of a group or a broadcast.
    endpoint local;
    unsigned interface = 0; // its index
};

enum class ecn : std::uint8_t { not_capable = 0, capable_1 = 1, capable_0 = 2, congestion = 3 };

using receive_time = std::chrono::sys_time<std::chrono::nanoseconds>;

class control_messages {
  public:
    control_messages() noexcept = default; // none
    explicit control_messages(std::span<const std::byte> bytes) noexcept
        : bytes_(bytes) {}
    // Of one that was received into.
    explicit control_messages(const msghdr& header) noexcept
        : bytes_(
              static_cast<const std::byte*>(header.msg_control),
              header.msg_control != nullptr ? header.msg_controllen : 0) {}

    // Bytes of each datagram of the sender's, but for the last one, where several came as one (datagram_options::gro).
    std::optional<std::uint16_t> segment_size() const noexcept;
    std::optional<packet_info> destination() const noexcept; // datagram_options::packet_info
    // The whole byte, TOS or traffic class, and its last two bits: datagram_options::traffic_class.
    std::optional<std::uint8_t> traffic_class() const noexcept;
    std::optional<enum ecn> ecn() const noexcept {
        const auto whole = traffic_class();
        return whole ? std::optional(static_cast<enum ecn>(*whole & 3U)) : std::nullopt;
    }
    // When the kernel had it, and when the network card did: datagram_options::timestamps, hardware_timestamps.
    std::optional<receive_time> received_at() const noexcept;
    std::optional<receive_time> received_by_hardware_at() const noexcept;
    // Datagrams that this socket had no room for, from its beginning to this one: datagram_options::overflows. The kernel says
    // nothing as long as there are none. Those that would have come as one (segment_size) count as one.
    std::uint32_t overflows() const noexcept;
    // Of the sender on a unix socket: datagram_options::credentials.
    std::optional<credentials> sender() const noexcept;

    // All of them, in the kernel's order. The visitor stops the walk by returning false.
    template <class Visitor> void for_each(Visitor&& visit) const {
        std::span<const std::byte> rest = bytes_;
        control_message found;
        while (take_first(rest, found) && visit(static_cast<const control_message&>(found))) {
        }
    }

    std::span<const std::byte> bytes() const noexcept { return bytes_; }

  private:
    static bool take_first(std::span<const std::byte>& rest, control_message& found) noexcept;

    // The first one of these that is whole.
    template <class Value> std::optional<Value> find(int level, int type) const noexcept {
        std::optional<Value> value;
        for_each([&](const control_message& each) {
            if (each.level != level || each.type != type || each.data.size() < sizeof(Value)) return true;
            std::memcpy(&value.emplace(), each.data.data(), sizeof(Value));
            return false;
        });
        return value;
    }

    std::span<const std::byte> bytes_;
};

} // namespace chainring
