// What goes along with a datagram that is sent: where to, and control messages.
#pragma once

#include <chainring/net/endpoint.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace chainring {

struct datagram_send_options {
    // UDP: the bytes are that many datagrams of this size, and a shorter last one; the kernel, or the network card, cuts them
    // (GSO). 64 at most (newer kernels take 128), 65,507 bytes in all, and each must fit the way's MTU:
    // std::errc::invalid_argument or message_size otherwise. 0: one datagram.
    std::uint16_t segment_size = 0;
    // UDP: TOS or traffic class; its last two bits are ECN.
    std::optional<std::uint8_t> traffic_class{};
    // UDP: this machine's address to send from, of the family that the datagram goes by; its port does not count.
    endpoint source{};
    unsigned interface = 0; // UDP: index of the one to send by; 0: the kernel's choice
    // Unix sockets: the receiver gets descriptors of its own. These stay the sender's, and must stay open until completion.
    std::span<const int> descriptors{};
};

// The family that datagrams to it go by: IPv4 too where its address is written as one of IPv6.
int carrying_family(const endpoint& to) noexcept;

class datagram_envelope {
  public:
    // What the control messages of one say; but for descriptors.
    static datagram_send_options options_of(std::span<const std::byte> control) noexcept;

    // To the peer, if `to` has no family. `to_peer`: the family that datagrams to the peer go by; without one the socket's.
    datagram_envelope(const endpoint& to, const datagram_send_options& options, int to_peer);

    // What the options ask for can be had. If not nothing is in it, and the datagram must not be sent.
    bool fits() const noexcept { return fits_; }
    bool empty() const noexcept { return to_.family() == AF_UNSPEC && size_ == 0; }
    const endpoint* destination() const noexcept { return to_.family() == AF_UNSPEC ? nullptr : &to_; }
    std::span<std::byte> control() noexcept {
        return longer_.empty() ? std::span(few_).first(size_) : std::span(longer_);
    }

  private:
    void add_source(const endpoint& source, unsigned interface, int family);
    void add(int level, int type, const void* data, std::size_t size);

    endpoint to_;
    bool fits_ = true;
    std::size_t size_ = 0; // bytes of the control messages
    alignas(std::max_align_t) std::array<std::byte, 128> few_;
    std::vector<std::byte> longer_; // in their place
};

} // namespace chainring
