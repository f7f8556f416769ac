#include <chainring/sim/datagram_socket.hpp>
#include <chainring/sim/network.hpp>

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace chainring::sim {

int datagram_socket::shutdown(int how) {
    receiving_ended_ |= how != SHUT_WR;
    sending_ended_ |= how != SHUT_RD;
    state_changed();
    return 0;
}

int datagram_socket::receive(void* target, std::size_t size, int flags, std::size_t) {
    const arrived_message taken = receive_message(target, size, flags);
    if (taken.result < 0 || (flags & MSG_TRUNC) != 0) return taken.result;
    return static_cast<int>(taken.copied);
}

socket::arrived_message datagram_socket::receive_message(void* target, std::size_t size, int flags) {
    if (error() != 0) return {-take_error(), 0, {}};
    if (queue_.empty()) return {receiving_ended_ && (flags & MSG_DONTWAIT) == 0 ? 0 : -EAGAIN, 0, {}};
    const datagram taken = pop();
    const std::size_t copied = std::min(taken.bytes.size(), size);
    if (copied != 0) std::memcpy(target, taken.bytes.data(), copied);
    return {static_cast<int>(taken.bytes.size()), copied, taken.sender};
}

unsigned datagram_socket::events() const noexcept {
    unsigned ready = 0;
    if (!queue_.empty() || receiving_ended_ || error() != 0) ready |= POLLIN;
    if (writable()) ready |= POLLOUT;
    if (error() != 0) ready |= POLLERR;
    if (receiving_ended_) ready |= POLLRDHUP;
    if (receiving_ended_ && sending_ended_) ready |= POLLHUP;
    return ready;
}

void datagram_socket::push(datagram added) {
    counted_ += added.counted();
    queue_.push_back(std::move(added));
}

datagram_socket::datagram datagram_socket::pop() {
    datagram first = std::move(queue_.front());
    queue_.pop_front();
    counted_ -= first.counted();
    made_room(first);
    return first;
}

// UDP

int udp_socket::connect(const address& to) {
    if (to.family() == AF_UNSPEC) {
        set_connected(false);
        return 0;
    }
    const address source = network::source(on(), to);
    if (!bound()) bind(source);
    // One of every host has the address now that its datagrams to this peer come from.
    if (local().is_any_host()) set_local(source.with_port(local().port()));
    set_peer_address(to);
    set_connected(true);
    return 0;
}

int udp_socket::shutdown(int how) {
    datagram_socket::shutdown(how);
    return connected() ? 0 : -ENOTCONN;
}

int udp_socket::send(std::span<const iovec> pieces, std::size_t, std::size_t most) {
    if (!connected()) return total(pieces) > longest() ? -EMSGSIZE : -EDESTADDRREQ;
    return send_to(pieces, most, peer_address());
}

int udp_socket::send_to(std::span<const iovec> pieces, std::size_t most, const address& to) {
    const std::size_t size = total(pieces);
    if (size > longest()) return -EMSGSIZE;
    if (to.family() != family()) return -EAFNOSUPPORT;
    if (!bound()) bind(network::source(on(), to));
    if (error() != 0) return -take_error();
    if (sending_ended()) return -EPIPE;
    set_full(most < size);
    if (full()) return -EAGAIN;
    std::string bytes;
    append(bytes, pieces, 0, size);
    of().wire().carry(*this, to, std::move(bytes));
    return static_cast<int>(size);
}

bool udp_socket::take(const address& from, std::string bytes) {
    if (connected() && from.key() != peer_address().key()) return false;
    if (counted() <= receive_buffer()) push({std::move(bytes), {}, from});
    return true;
}

void udp_socket::was_refused(const address& by) {
    if (!connected() || by.key() != peer_address().key()) return;
    set_error(ECONNREFUSED);
    state_changed();
}

// unix datagrams

unix_datagram_socket::~unix_datagram_socket() {
    purge();
    wake_waiting();
}

int unix_datagram_socket::connect(const address& to) {
    if (to.family() == AF_UNSPEC) {
        leave_peer();
        peer_.reset();
        set_connected(false);
        return 0;
    }
    const found_socket found = of().bound_at(on(), to, SOCK_DGRAM);
    if (found.bound == nullptr) return found.error;
    if (found.bound->type() != SOCK_DGRAM) return -EPROTOTYPE;
    const auto other = std::static_pointer_cast<unix_datagram_socket>(found.bound);
    if (!other->takes_from(*this)) return -EPERM;
    if (connected() && peer_.lock() != other) leave_peer();
    peer_ = other;
    set_peer_address(to);
    set_connected(true);
    return 0;
}

bool unix_datagram_socket::takes_from(const unix_datagram_socket& sender) const noexcept {
    return !connected() || peer_.lock().get() == &sender;
}

// A receiver that is connected to the sender has no limit but the sender's own buffer.
bool unix_datagram_socket::is_full_for(const unix_datagram_socket& sender) const noexcept {
    constexpr std::size_t longest_queue = 10; // net.unix.max_dgram_qlen
    const bool of_each_other = connected() && peer_.lock().get() == &sender;
    return !of_each_other && waiting() > longest_queue;
}

bool unix_datagram_socket::writable() const noexcept {
    const auto peer = peer_.lock();
    return in_queues_ * 4 <= send_buffer() && (peer == nullptr || !peer->is_full_for(*this));
}

int unix_datagram_socket::send(std::span<const iovec> pieces, std::size_t, std::size_t most) {
    if (!connected()) return -ENOTCONN;
    if (total(pieces) + least_overhead > send_buffer()) return -EMSGSIZE;
    if (error() != 0) return -take_error();
    if (sending_ended()) return -EPIPE;
    const auto peer = peer_.lock();
    if (peer == nullptr) { // told once; from then on there is no peer
        purge();
        set_connected(false);
        return -ECONNREFUSED;
    }
    return send_to(*peer, pieces, most);
}

int unix_datagram_socket::send_to(std::span<const iovec> pieces, std::size_t most, const address& to) {
    if (total(pieces) + least_overhead > send_buffer()) return -EMSGSIZE;
    if (error() != 0) return -take_error();
    if (sending_ended()) return -EPIPE;
    const found_socket found = of().bound_at(on(), to, SOCK_DGRAM);
    if (found.bound == nullptr) return found.error;
    if (found.bound->type() != SOCK_DGRAM) return -EPROTOTYPE;
    return send_to(static_cast<unix_datagram_socket&>(*found.bound), pieces, most);
}

int unix_datagram_socket::send_to(
    unix_datagram_socket& receiver, std::span<const iovec> pieces, std::size_t most) {
    const std::size_t size = total(pieces);
    if (!receiver.takes_from(*this)) return -EPERM;
    if (receiver.receiving_ended()) return -EPIPE;
    set_full(in_queues_ >= send_buffer() || receiver.is_full_for(*this) || most < size);
    if (full()) {
        expect_room();
        return -EAGAIN;
    }
    datagram sent{{}, std::static_pointer_cast<socket>(shared_from_this()), bound() ? local() : address()};
    append(sent.bytes, pieces, 0, size);
    in_queues_ += sent.counted();
    receiver.push(std::move(sent));
    return static_cast<int>(size);
}

void unix_datagram_socket::expect_room() noexcept {
    socket::expect_room();
    const auto peer = peer_.lock();
    if (peer == nullptr || !peer->is_full_for(*this)) return;
    const auto self = std::static_pointer_cast<unix_datagram_socket>(shared_from_this());
    const auto same = [&self](const auto& each) { return each.lock() == self; };
    if (std::ranges::none_of(peer->waiting_, same)) peer->waiting_.push_back(self);
}

// Linux wakes a sender whenever its buffer has room, also if this receiver's queue is full.
void unix_datagram_socket::made_room(const datagram& gone) {
    if (const auto from = std::static_pointer_cast<unix_datagram_socket>(gone.from.lock())) {
        from->in_queues_ -= gone.counted();
        if (from->in_queues_ * 4 <= from->send_buffer()) from->state_changed();
    }
    wake_waiting();
}

void unix_datagram_socket::wake_waiting() {
    for (const auto& each : std::exchange(waiting_, {}))
        if (const auto sender = each.lock()) sender->state_changed();
}

// What the old peer has sent is lost, and it is told if this socket was its peer too.
void unix_datagram_socket::leave_peer() {
    purge();
    const auto peer = peer_.lock();
    if (peer == nullptr || peer->peer_.lock().get() != this) return;
    peer->set_error(ECONNRESET);
    peer->state_changed();
}

void unix_datagram_socket::purge() {
    while (waiting() != 0) pop();
}

} // namespace chainring::sim
