// udp_socket: UDP over IPv4 and IPv6, to and from anybody or one peer.
//
//     auto socket = co_await cr::try_(cr::udp_socket::bind({"0.0.0.0", 5353}, {.packet_info = true}));
//     while (auto got = co_await socket.receive()) co_await socket.send_to(got->from(), got->take_payload());
#pragma once

#include <chainring/net/datagram_socket.hpp>

namespace chainring {

// What happens to a datagram that is longer than the way takes.
enum class path_mtu_discovery : std::uint8_t {
    fragment,      // the way cuts it
    learn,         // cut here, as far as what the way takes is known
    dont_fragment, // std::errc::message_size, as far as that is known; else it gets lost
    probe,         // sent whole, whatever is known
};

class udp_socket : public datagram_socket {
  public:
    static constexpr socket_kind kind{.type = SOCK_DGRAM, .internet = true};

    using datagram_socket::datagram_socket;

    // Must be called on an executor's thread: std::errc::operation_not_permitted otherwise. errors: invalid_argument for options
    // that do not fit UDP, or are out of bounds; those of socket(2), setsockopt(2) and bind(2), as no_protocol_option for an
    // option that this kernel lacks; for a pool of its own those of memory and registration.
    static result<udp_socket> bind(const endpoint& at, const datagram_options& options = {});
    // With a peer. `from`: the address to bind to; without one it gets a port of the kernel's choice.
    static result<udp_socket>
    connect(const endpoint& to, const endpoint& from = {}, const datagram_options& options = {});
    // A descriptor that another loop, thread or process has made, with a peer or without (adopt.hpp). What `options` ask for is set
    // on it; that it cannot be had leaves the descriptor to the caller. What is on already must be asked for as well: without
    // `gro` there is no room for the size of what was joined, and several datagrams look like one (control_truncated tells).
    static result<udp_socket> adopt(adoptable given, const datagram_options& options = {});

    // Of a socket for IPv6 they hold for its datagrams by IPv4 too. errors of all: errc::closed; those of setsockopt(2)
    //
    // A group's datagrams, by the interface of that index; 0: of the kernel's choice. Of groups that it has not joined, also of
    // 224.0.0.1 and ff02::1, to which every machine belongs, a socket hears nothing. Of one that was adopted that holds if who has
    // made it has set IP_MULTICAST_ALL and IPV6_MULTICAST_ALL to 0.
    result<void> join(const endpoint& group, unsigned interface = 0) noexcept;
    result<void> leave(const endpoint& group, unsigned interface = 0) noexcept;
    // Of what is sent to groups: by which interface, over how many routers (1: none), and whether this machine gets it too.
    result<void> set_multicast_interface(unsigned interface) noexcept;
    result<void> set_multicast_hops(unsigned hops) noexcept;
    result<void> set_multicast_loop(bool on) noexcept;
    result<void> set_broadcast(bool on) noexcept { return set_option(SOL_SOCKET, SO_BROADCAST, on ? 1 : 0); }
    // TOS or traffic class of what is sent, where a send does not say otherwise.
    result<void> set_traffic_class(std::uint8_t value) noexcept;
    result<void> set_path_mtu_discovery(path_mtu_discovery how) noexcept;
    // What the way to the peer takes, in bytes with all headers. errors: not_connected
    result<unsigned> path_mtu() const noexcept;

  private:
    result<void>
    change_membership(const endpoint& group, unsigned interface, int of_ipv4, int of_ipv6) noexcept;
    // One of two options; both on a socket for IPv6, from which datagrams may go by IPv4 too.
    result<void> set_by_family(int of_ipv4, int of_ipv6, int value) noexcept;
};

} // namespace chainring
