#include <chainring/sim/network.hpp>
#include <chainring/sim/socket.hpp>
#include <chainring/sim/world.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace chainring::sim {

namespace {

// What the kernel counts of a record besides its bytes.
constexpr std::size_t record_overhead = 256;

std::size_t total(std::span<const iovec> pieces) {
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

} // namespace

socket::socket(network& of, int family, int type)
    : network_(of)
    , family_(family)
    , type_(type)
    , local_(family)
    , send_buffer_(of.within().knobs().buffer)
    , receive_buffer_(of.within().knobs().buffer) {}

socket::~socket() {
    if (bound_) network_.unbind(*this);
    if (state_ == state::listening) close_listener();
    if (state_ != state::connected) return;
    if (is_tcp())
        close_tcp();
    else
        close_unix();
}

int socket::bind(const address& at) {
    if (bound_) return -EINVAL;
    const int returned = network_.bind(*this, at, local_);
    bound_ = returned == 0;
    return returned;
}

int socket::listen(int backlog) {
    if (state_ != state::fresh && state_ != state::listening) return -EINVAL;
    if (!bound_) return -EINVAL;
    state_ = state::listening;
    most_waiting_ = static_cast<std::size_t>(std::max(backlog, 0)) + 1;
    return 0;
}

int socket::connect(const address& to) {
    if (state_ == state::connected) return -EISCONN;
    if (state_ == state::gave_up) return -EALREADY;
    if (state_ == state::listening) return -EINVAL;
    const found_listener found = network_.listener_at(to);
    if (found.listener == nullptr) return found.error;
    socket& listener = *found.listener;
    if (listener.state_ != state::listening || listener.receiving_ended_) return -ECONNREFUSED;
    if (listener.type_ != type_) return -EPROTOTYPE;
    if (listener.backlog_is_full()) return -EAGAIN;

    auto server_side = std::make_shared<socket>(network_, family_, type_);
    if (is_tcp()) { // a unix socket inherits none
        server_side->send_buffer_ = listener.send_buffer_;
        server_side->receive_buffer_ = listener.receive_buffer_;
    }
    if (!bound_ && is_tcp()) local_ = to.with_port(network_.ephemeral_port());
    connect_to(*server_side, to);
    server_side->local_ = to;
    listener.backlog_.push_back(std::move(server_side));
    return 0;
}

void socket::connect_to(socket& server_side, const address& to) {
    state_ = state::connected;
    peer_address_ = to;
    peer_ = std::static_pointer_cast<socket>(server_side.shared_from_this());
    server_side.state_ = state::connected;
    server_side.peer_address_ = local_;
    server_side.peer_ = std::static_pointer_cast<socket>(shared_from_this());
    state_changed();
}

int socket::may_accept() const {
    if (state_ != state::listening || receiving_ended_) return -EINVAL;
    return backlog_.empty() ? -EAGAIN : 0;
}

std::shared_ptr<socket> socket::accept() {
    std::shared_ptr<socket> first = std::move(backlog_.front());
    backlog_.pop_front();
    return first;
}

int socket::shutdown(int how) {
    if (state_ == state::listening) {
        receiving_ended_ = true;
        if (is_tcp()) close_listener(); // a unix backlog stays until the close
        return 0;
    }
    if (state_ != state::connected) return -ENOTCONN;
    const bool receiving = how == SHUT_RD || how == SHUT_RDWR;
    const bool sending = how == SHUT_WR || how == SHUT_RDWR;
    const auto peer = peer_.lock();
    if (receiving) receiving_ended_ = true;
    if (receiving && !is_tcp() && peer != nullptr) peer->sending_ended_ = true;
    if (sending && !sending_ended_) {
        sending_ended_ = true;
        send_end();
    }
    state_changed();
    if (!is_tcp() && peer != nullptr) peer->state_changed();
    return 0;
}

int socket::set_option(int level, int name, const void* value, socklen_t length) {
    if (level == SOL_SOCKET && name == SO_LINGER) {
        const auto& given = *static_cast<const ::linger*>(value);
        if (given.l_onoff != 0 && given.l_linger != 0) network_.within().fail("SO_LINGER with a time");
        close_resets_ = given.l_onoff != 0 && is_tcp();
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
    if (level == IPPROTO_TCP && name == TCP_NODELAY) return is_tcp() ? 0 : -EOPNOTSUPP;
    network_.within().fail(
        "the simulation lacks setsockopt of option " + std::to_string(name) + " at level " +
        std::to_string(level));
}

int socket::get_option(int level, int name, void* value, socklen_t& length) {
    if (level != SOL_SOCKET || length < sizeof(int))
        network_.within().fail("the simulation lacks getsockopt at level " + std::to_string(level));
    int answer = 0;
    switch (name) {
    case SO_ERROR: answer = take_error(); break;
    case SO_DOMAIN: answer = family_; break;
    case SO_TYPE: answer = type_; break;
    case SO_SNDBUF: answer = static_cast<int>(send_buffer_); break;
    case SO_RCVBUF: answer = static_cast<int>(receive_buffer_); break;
    default: network_.within().fail("the simulation lacks getsockopt of option " + std::to_string(name));
    }
    std::memcpy(value, &answer, sizeof answer);
    length = sizeof answer;
    return 0;
}

int socket::take_error() noexcept {
    return std::exchange(error_, 0);
}

std::size_t socket::capacity() const noexcept {
    const auto peer = peer_.lock();
    return is_tcp() && peer != nullptr ? send_buffer_ + peer->receive_buffer_ : send_buffer_;
}

std::size_t socket::room() const noexcept {
    const auto peer = peer_.lock();
    const std::size_t used = peer != nullptr ? peer->in_.used() : 0;
    return capacity() - std::min(used, capacity());
}

// TCP wants a third of the buffer to be free before it says so, unix sockets three quarters.
bool socket::writable() const noexcept {
    return is_tcp() ? room() * 3 >= capacity() : (capacity() - room()) * 4 <= capacity();
}

unsigned socket::events() const noexcept {
    if (state_ == state::listening) return may_accept() != -EAGAIN ? POLLIN : 0;
    if (state_ != state::connected) return POLLOUT | POLLHUP;
    const bool no_more_to_receive = receiving_ended_ || in_.end_arrived;
    unsigned ready = 0;
    if (in_.arrived != 0 || !in_.records.empty() || no_more_to_receive || error_ != 0) ready |= POLLIN;
    if (writable() || sending_ended_) ready |= POLLOUT;
    if (error_ != 0) ready |= POLLERR;
    if (no_more_to_receive && sending_ended_) ready |= POLLHUP;
    return ready;
}

int socket::send(std::span<const iovec> pieces, std::size_t skip, std::size_t most) {
    // A unix stream tells its error only to who receives.
    if (error_ != 0 && (is_tcp() || !is_stream())) return -take_error();
    if (state_ != state::connected) return is_tcp() ? -EPIPE : -ENOTCONN;
    if (sending_ended_) return -EPIPE;
    const std::size_t wanted = total(pieces) - skip;
    const auto peer = peer_.lock();
    if (peer == nullptr) { // the first bytes that come to a closed TCP socket are answered with a reset
        if (!in_.reset_sent) send_reset();
        return static_cast<int>(wanted);
    }
    std::size_t moved = 0;
    if (is_stream()) {
        moved = std::min({wanted, room(), most});
        if (moved < wanted) full_ = true;
        if (moved == 0 && wanted != 0) return -EAGAIN;
        append(peer->in_.bytes, pieces, skip, moved);
    } else {
        if (wanted + record_overhead > send_buffer_) return -EMSGSIZE;
        full_ = wanted + record_overhead > room() || most < wanted;
        if (full_) return -EAGAIN;
        append(peer->in_.records.emplace_back(), pieces, 0, wanted);
        peer->in_.size_of_records += wanted + record_overhead;
        moved = wanted;
    }
    sent_something(*peer);
    return static_cast<int>(moved);
}

void socket::sent_something(socket& to) {
    world& within = network_.within();
    const bool travels = is_tcp() && (within.chance(within.knobs().late_delivery, "late delivery") ||
                                      to.has_arrivals() || // what came before comes first
                                      (to.receiving_ended_ && to.sending_ended_));
    if (travels)
        network_.expect_arrival(to);
    else
        to.in_.arrived = to.in_.bytes.size();
}

int socket::receive(void* target, std::size_t size, int flags, std::size_t most) {
    if (state_ != state::connected) return -ENOTCONN;
    return is_stream() ? receive_bytes(target, size, most) : receive_record(target, size, flags);
}

int socket::receive_bytes(void* target, std::size_t size, std::size_t most) {
    if (in_.arrived == 0) return nothing_to_receive();
    const std::size_t taken = std::min({in_.arrived, size, most});
    std::memcpy(target, in_.bytes.data(), taken);
    in_.bytes.erase(0, taken);
    in_.arrived -= taken;
    made_room();
    return static_cast<int>(taken);
}

int socket::receive_record(void* target, std::size_t size, int flags) {
    if (error_ != 0 || in_.records.empty()) return nothing_to_receive();
    const std::string record = std::move(in_.records.front());
    in_.records.pop_front();
    in_.size_of_records -= record.size() + record_overhead;
    const std::size_t taken = std::min(record.size(), size);
    std::memcpy(target, record.data(), taken);
    made_room();
    return static_cast<int>((flags & MSG_TRUNC) != 0 ? record.size() : taken);
}

int socket::nothing_to_receive() noexcept {
    if (error_ != 0) return -take_error();
    return receiving_ended_ || in_.end_arrived ? 0 : -EAGAIN;
}

std::size_t socket::received() const noexcept {
    return in_.records.empty() ? in_.arrived : in_.records.front().size();
}

// The sender hears of it: a unix one whenever it can send, a TCP one if it had found no room.
void socket::made_room() {
    const auto peer = peer_.lock();
    if (peer == nullptr || !peer->writable()) return;
    if (is_tcp() && !peer->full_) return;
    peer->full_ = false;
    peer->state_changed();
}

void socket::pretend_full() {
    full_ = true;
    told_of_room_ = false;
    network_.expect_arrival(*this);
}

bool socket::has_arrivals() const noexcept {
    const bool end_on_the_way = in_.end_sent && !in_.end_arrived;
    return in_.on_the_way() != 0 || end_on_the_way || in_.reset_sent || !told_of_room_;
}

void socket::arrive() {
    world& within = network_.within();
    if (!told_of_room_ && within.choose(2, "room or arrival") == 0) {
        told_of_room_ = true;
        if (!writable() || !full_) return; // whoever makes room will tell
        full_ = false;
        state_changed();
        return;
    }
    const bool end_on_the_way = in_.end_sent && !in_.end_arrived;
    const bool reset_first = in_.reset_sent && within.choose(2, "reset or what was sent before it") == 0;
    if (reset_first || (in_.reset_sent && in_.on_the_way() == 0 && !end_on_the_way)) {
        become_reset();
    } else if (in_.on_the_way() != 0) {
        const auto all = static_cast<std::uint32_t>(in_.on_the_way());
        in_.arrived += within.choose(2, "all or a part arrives") == 0
                           ? all
                           : 1 + within.choose(all, "how many bytes arrive");
        if (receiving_ended_ && sending_ended_) { // nobody will ever receive it, and the sender is told
            const auto peer = peer_.lock();
            become_reset();
            if (peer != nullptr) peer->send_reset();
        }
    } else if (end_on_the_way) {
        in_.end_arrived = true;
        state_changed();
    }
}

void socket::send_end() {
    const auto peer = peer_.lock();
    if (peer == nullptr) return;
    if (!is_tcp()) {
        peer->receiving_ended_ = true;
        return;
    }
    peer->in_.end_sent = true;
    network_.expect_arrival(*peer);
}

// To this socket.
void socket::send_reset() {
    in_.reset_sent = true;
    network_.expect_arrival(*this);
}

void socket::become_reset() {
    in_.reset_sent = false;
    in_.bytes.resize(in_.arrived);
    in_.end_sent = in_.end_arrived;
    error_ = in_.end_arrived ? EPIPE : ECONNRESET;
    receiving_ended_ = true;
    sending_ended_ = true;
    told_of_room_ = true;
    peer_.reset();
    state_changed();
}

void socket::close_listener() {
    for (const auto& waiting : backlog_) waiting->close_resets_ = true;
    backlog_.clear();
}

void socket::close_tcp() {
    const auto peer = peer_.lock();
    if (peer == nullptr) return;
    if (close_resets_ || in_.arrived != 0) {
        peer->send_reset();
        return;
    }
    if (!sending_ended_) send_end();
    if (in_.on_the_way() != 0) peer->send_reset(); // the answer to what will come
}

void socket::close_unix() {
    const auto peer = peer_.lock();
    if (peer == nullptr) return;
    if (in_.arrived != 0 || !in_.records.empty() || close_resets_) peer->error_ = ECONNRESET;
    peer->receiving_ended_ = true;
    peer->sending_ended_ = true;
    peer->state_changed();
}

} // namespace chainring::sim
