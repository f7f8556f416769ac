#include <chainring/net/bound_socket.hpp>
#include <chainring/net/datagram_envelope.hpp>

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <system_error>

#ifndef UDP_GRO
#define UDP_GRO 104 // newer than the headers of some distributions
#endif

namespace chainring {

namespace {

// Whether a socket of that kind may be asked for it.
bool fit(const socket_kind& kind, const datagram_options& asked) noexcept {
    constexpr unsigned most_descriptors = 253; // Linux's SCM_MAX_FD
    constexpr std::uint32_t most_blocks = 32'768;
    const bool of_udp = asked.packet_info || asked.traffic_class || asked.hardware_timestamps ||
                        asked.overflows || asked.gro || asked.broadcast;
    const bool of_unix = asked.credentials || asked.descriptors != 0;
    const std::uint32_t most_bytes = kind.local ? 16U << 20U : 65'535;
    return !(kind.local ? of_udp : of_unix) && asked.descriptors <= most_descriptors &&
           asked.longest <= most_bytes && asked.blocks != 0 && asked.blocks <= most_blocks;
}

// Room for what may come of each kind; control messages are aligned to eight bytes.
std::uint32_t control_room(const datagram_options& asked, int family) noexcept {
    std::size_t room = 0;
    const auto add = [&room](bool wanted, std::size_t size) { room += wanted ? CMSG_SPACE(size) : 0; };
    add(asked.timestamps, sizeof(timespec));
    add(asked.hardware_timestamps, 3 * sizeof(timespec));
    add(asked.overflows, sizeof(std::uint32_t));
    if (family == AF_UNIX) {
        add(asked.credentials, sizeof(ucred));
        // Not with the padding behind them, where there would be room for one more.
        if (asked.descriptors != 0) room += CMSG_LEN(asked.descriptors * sizeof(int));
    } else {
        add(asked.gro, sizeof(int));
        add(asked.packet_info, family == AF_INET ? sizeof(in_pktinfo) : sizeof(in6_pktinfo));
        // A datagram that came by IPv4 brings what IPv4 has.
        add(asked.packet_info && family == AF_INET6, sizeof(in_pktinfo));
        add(asked.traffic_class, sizeof(int));
    }
    return static_cast<std::uint32_t>(room);
}

// 0 or -errno.
int ask_for(kernel& behind, int descriptor, int family, const datagram_options& asked) noexcept {
    int returned = 0;
    const auto set = [&](bool wanted, int level, int name, int value) {
        if (returned >= 0 && wanted)
            returned = behind.set_option(descriptor, level, name, &value, sizeof value);
    };
    set(asked.timestamps, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    set(asked.hardware_timestamps, SOL_SOCKET, SO_TIMESTAMPING,
        SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE);
    set(asked.overflows, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (family == AF_UNIX) {
        set(asked.credentials, SOL_SOCKET, SO_PASSCRED, 1);
        return returned;
    }
    set(asked.gro, IPPROTO_UDP, UDP_GRO, 1);
    set(asked.broadcast, SOL_SOCKET, SO_BROADCAST, 1);
    set(asked.packet_info, IPPROTO_IP, IP_PKTINFO, 1);
    set(asked.traffic_class, IPPROTO_IP, IP_RECVTOS, 1);
    if (family == AF_INET6) {
        set(asked.packet_info, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set(asked.traffic_class, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    return returned;
}

// Linux would give it the datagrams of every group that anybody on this machine has joined. 0 or -errno.
int hear_only_joined_groups(kernel& behind, int descriptor, int family) noexcept {
    if (family == AF_UNIX) return 0;
    constexpr int no = 0;
    const int returned = behind.set_option(descriptor, IPPROTO_IP, IP_MULTICAST_ALL, &no, sizeof no);
    if (returned < 0 || family == AF_INET) return returned;
    return behind.set_option(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &no, sizeof no);
}

std::uint32_t name_room(int family) noexcept {
    constexpr std::size_t aligned = 16;
    const std::size_t size = family == AF_UNIX ? sizeof(sockaddr_un) : sizeof(sockaddr_in6);
    return static_cast<std::uint32_t>((size + aligned - 1) / aligned * aligned);
}

} // namespace

result<socket_pointer<bound_socket>> bound_socket::make(
    const socket_kind& kind, const endpoint& at, const endpoint& to, const datagram_options& options) {
    const result<executor*> found = current_executor();
    if (!found) return failure(found.error());
    if (!fit(kind, options)) return failure(fault::from_errno(EINVAL));
    executor& home = **found;
    kernel& behind = home.behind();
    const bool connects = to.family() != AF_UNSPEC;
    const bool binds = at.family() != AF_UNSPEC;
    const int family = connects ? to.family() : at.family();
    const int descriptor = open_socket(behind, connects ? to : at, kind, options.socket);
    if (descriptor < 0) return failure(from_errno(-descriptor));

    int returned = hear_only_joined_groups(behind, descriptor, family);
    if (returned >= 0) returned = ask_for(behind, descriptor, family, options);
    if (returned >= 0 && binds) returned = behind.bind(descriptor, at.address(), at.length());
    if (returned >= 0 && connects) returned = behind.connect(descriptor, to.address(), to.length());
    if (returned < 0) {
        behind.close(descriptor);
        return failure(from_errno(-returned));
    }

    const result<parts> made_of = parts_for(home, family, options);
    if (!made_of) {
        behind.close(descriptor);
        return failure(made_of.error());
    }
    const std::string path(binds && family == AF_UNIX ? at.path() : std::string_view());
    socket_pointer<bound_socket> made(new bound_socket(home, descriptor, *made_of, maker::itself, path));
    made->note_peer(to);
    return made;
}

result<socket_pointer<bound_socket>>
bound_socket::adopt(const socket_kind& kind, adoptable given, const datagram_options& options) {
    const result<executor*> found = current_executor();
    if (!found) return failure(found.error());
    if (!fit(kind, options)) return failure(fault::from_errno(EINVAL));
    executor& home = **found;
    const int descriptor = given.descriptor();
    const result<int> family = adoptable_family(home, kind, descriptor);
    if (!family) return failure(family.error());
    int returned = apply_options(home.behind(), descriptor, *family, of_datagrams(options.socket));
    if (returned >= 0) returned = ask_for(home.behind(), descriptor, *family, options);
    if (returned < 0) return failure(from_errno(-returned));
    const result<parts> made_of = parts_for(home, *family, options);
    if (!made_of) return failure(made_of.error());
    home.behind().close_on_exec(descriptor);
    // Without a path: who has made it removes it.
    socket_pointer<bound_socket> made(new bound_socket(home, descriptor, *made_of, maker::somebody_else, {}));
    given.taken();
    made->note_peer(made->peer().value_or(endpoint()));
    return made;
}

result<bound_socket::parts>
bound_socket::parts_for(executor& home, int family, const datagram_options& options) {
    parts found{
        .family = family,
        .layout = {.name = name_room(family), .control = control_room(options, family)},
        .descriptors = {.come = family == AF_UNIX, .most = options.descriptors}};
    constexpr std::uint32_t most_bytes = 65'535;
    constexpr std::uint32_t least_bytes = 1500;
    const std::uint32_t by_default = options.gro ? most_bytes : least_bytes;
    const std::uint32_t longest = options.longest != 0 ? options.longest : by_default;
    const std::uint32_t block_size = found.layout.payload_at() + longest;
    if (block_size <= home.buffers().block_size()) return found;
    try {
        found.own_pool = &home.open_pool(
            {.block_size = block_size, .blocks = options.blocks, .most_blocks = options.blocks * 4});
    } catch (const std::system_error& refused) {
        return failure(refused.code());
    }
    return found;
}

bound_socket::bound_socket(executor& home, int descriptor, const parts& of, maker made_by, std::string path)
    : socket(home, {.number = descriptor})
    , family_(of.family)
    , family_to_peer_(of.family)
    , made_by_(made_by)
    , path_(std::move(path))
    , file_(path_.empty() ? file_identity{} : home.behind().identify_file(path_.c_str()))
    , own_pool_(of.own_pool)
    , receiver_(*this, of.own_pool != nullptr ? *of.own_pool : home.buffers(), of.layout, of.descriptors)
    , sender_(*this, framing::datagrams) {
    if (family_ == AF_UNIX) sender_.set_sends_to_anybody();
}

fault bound_socket::release_error() const noexcept {
    const fault unsent = why_unsent();
    const bool in_haste = unsent == errc::timed_out || unsent == errc::cancelled;
    // A batch that was to be cancelled may have been the last.
    if (unsent && !(in_haste && sender_.idle())) return unsent;
    return receiver_.last_error();
}

result<void> bound_socket::connect(const endpoint& to) noexcept {
    if (!open()) return failure(errc::closed);
    const int returned = home().behind().connect(descriptor(), to.address(), to.length());
    if (returned < 0) return failure(from_errno(-returned));
    note_peer(to);
    return {};
}

void bound_socket::note_peer(const endpoint& peer) noexcept {
    family_to_peer_ = peer.family() == AF_UNSPEC ? family_ : carrying_family(peer);
}

result<void> bound_socket::set(int level, int name, const void* value, socklen_t size) noexcept {
    if (!open()) return failure(errc::closed);
    const int returned = home().behind().set_option(descriptor(), level, name, value, size);
    if (returned < 0) return failure(from_errno(-returned));
    return {};
}

void bound_socket::closing() noexcept {
    receiver_.close(errc::closed);
    sender_.close();
    if (!path_.empty() && home().behind().identify_file(path_.c_str()) == file_)
        home().behind().remove_file(path_.c_str());
}

void bound_socket::let_go() noexcept {
    sender_.let_go();
    if (own_pool_ != nullptr) home().close_pool(*own_pool_);
}

} // namespace chainring
