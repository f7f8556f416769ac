#include <chainring/sim/names.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/socket.hpp>
#include <chainring/sim/world.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace chainring::sim {

std::size_t total(std::span<const iovec> pieces) noexcept {
    std::size_t bytes = 0;
    for (const iovec& each : pieces) bytes += each.iov_len;
    return bytes;
}

void append(std::string& to, std::span<const iovec> pieces, std::size_t skip, std::size_t count) {
    for (const iovec& each : pieces) {
        const std::size_t passed = std::min(skip, each.iov_len);
        skip -= passed;
        const std::size_t taken = std::min(count, each.iov_len - passed);
        to.append(static_cast<const char*>(each.iov_base) + passed, taken);
        count -= taken;
    }
}

socket::socket(network& of, const machine& on, int family, int type)
    : network_(of)
    , on_(on)
    , family_(family)
    , type_(type)
    , local_(family)
    , send_buffer_(of.within().knobs().buffer)
    , receive_buffer_(of.within().knobs().buffer) {}

socket::~socket() {
    if (bound_) network_.unbind(*this);
}

bool socket::is_cut_off() const {
    return is_internet() && !network_.connects(local_, peer_address_);
}

// Its own host, also before it has an address.
const address& socket::host() const {
    return on_.number != 0 && local_.is_any_host() ? on_.at : local_;
}

bool socket::reaches(const address& to) const {
    return network_.connects(host(), to);
}

duration socket::draw_latency(const address& to) const {
    return network_.draw_latency(host(), to);
}

int socket::bind(const address& at) {
    if (bound_) return -EINVAL;
    const int returned = network_.bind(*this, at, local_);
    bound_ = returned == 0;
    return returned;
}

int socket::listen(int) {
    return -EOPNOTSUPP;
}

int socket::may_accept() const {
    return -EOPNOTSUPP;
}

std::shared_ptr<socket> socket::accept() {
    return nullptr;
}

int socket::send_to(std::span<const iovec>, std::size_t, const address&) {
    return -EISCONN;
}

socket::arrived_message socket::receive_message(void* target, std::size_t size, int flags) {
    const int received = receive(target, size, flags, size);
    return {received, std::min(static_cast<std::size_t>(std::max(received, 0)), size), peer_address_};
}

void socket::inherit_buffers(const socket& listener) noexcept {
    send_buffer_ = listener.send_buffer_;
    receive_buffer_ = listener.receive_buffer_;
}

int socket::set_option(int level, int name, const void* value, socklen_t length) {
    if (level == SOL_SOCKET && name == SO_LINGER) {
        const auto& given = *static_cast<const ::linger*>(value);
        if (given.l_onoff != 0 && given.l_linger != 0) network_.within().fail("SO_LINGER with a time");
        close_resets_ = given.l_onoff != 0 && is_internet();
        return 0;
    }
    if (length < sizeof(int)) return -EINVAL;
    const auto size = static_cast<std::size_t>(std::max(*static_cast<const int*>(value), 0));
    // As the kernel does: doubled, for what it keeps beside the bytes, and no less than it needs.
    if (level == SOL_SOCKET && name == SO_SNDBUF) {
        send_buffer_ = std::max<std::size_t>(size * 2, 4608);
        return 0;
    }
    if (level == SOL_SOCKET && name == SO_RCVBUF) {
        receive_buffer_ = std::max<std::size_t>(size * 2, 2304);
        return 0;
    }
    if (level == SOL_SOCKET && (name == SO_REUSEADDR || name == SO_KEEPALIVE)) return 0;
    // There are no groups.
    if ((level == IPPROTO_IP && name == IP_MULTICAST_ALL) ||
        (level == IPPROTO_IPV6 && name == IPV6_MULTICAST_ALL))
        return is_internet() ? 0 : -EOPNOTSUPP;
    if (level == IPPROTO_TCP && name == TCP_NODELAY) return is_internet() ? 0 : -EOPNOTSUPP;
    network_.within().fail("the simulation lacks setsockopt of " + option_name(level, name));
}

int socket::get_option(int level, int name, void* value, socklen_t& length) {
    if (length < sizeof(int)) return -EINVAL;
    int answer = 0;
    switch (level == SOL_SOCKET ? name : -1) {
    case SO_ERROR: answer = take_error(); break;
    case SO_DOMAIN: answer = family_; break;
    case SO_TYPE: answer = type_; break;
    case SO_ACCEPTCONN: answer = listening() ? 1 : 0; break;
    case SO_SNDBUF: answer = static_cast<int>(send_buffer_); break;
    case SO_RCVBUF: answer = static_cast<int>(receive_buffer_); break;
    default: network_.within().fail("the simulation lacks getsockopt of " + option_name(level, name));
    }
    std::memcpy(value, &answer, sizeof answer);
    length = sizeof answer;
    return 0;
}

int socket::take_error() noexcept {
    return std::exchange(error_, 0);
}

void socket::pretend_full() {
    full_ = true;
    told_of_room_ = false;
    network_.expect_arrival(*this);
}

void socket::tell_of_room() {
    told_of_room_ = true;
    if (!writable() || !full_) return; // whoever makes room will tell
    full_ = false;
    state_changed();
}

} // namespace chainring::sim
