#include <chainring/sim/connection_socket.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/world.hpp>

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace chainring::sim {

namespace {

// What the kernel counts of a record besides its bytes.
constexpr std::size_t record_overhead = 256;
constexpr std::size_t least_of_a_record = 32;

} // namespace

connection_socket::~connection_socket() {
    if (state_ == state::listening) close_listener();
    if (state_ != state::connected) return;
    if (is_tcp())
        close_tcp();
    else
        close_unix();
}

int connection_socket::listen(int backlog) {
    if (state_ != state::fresh && state_ != state::listening) return -EINVAL;
    if (!bound()) return -EINVAL;
    state_ = state::listening;
    most_waiting_ = static_cast<std::size_t>(std::max(backlog, 0)) + 1;
    return 0;
}

int connection_socket::connect(const address& to) {
    if (state_ == state::connected) return -EISCONN;
    if (state_ == state::gave_up) return -EALREADY;
    if (state_ == state::listening) return -EINVAL;
    if (is_tcp() && (!reaches(to) || !handshake_ends(to))) return -EAGAIN;
    const found_socket found = of().bound_at(on(), to, type());
    if (found.bound == nullptr) return found.error;
    if (found.bound->type() != type()) return -EPROTOTYPE;
    auto& listener = static_cast<connection_socket&>(*found.bound);
    if (listener.state_ != state::listening || listener.receiving_ended_) return -ECONNREFUSED;
    if (listener.backlog_is_full()) return -EAGAIN;

    auto server_side = std::make_shared<connection_socket>(of(), listener.on(), family(), type());
    if (is_tcp())
        slow_ = server_side->slow_ = of().within().chance(of().within().knobs().slow_peer, "a slow peer");
    if (is_tcp()) server_side->inherit_buffers(listener); // a unix socket inherits none
    if (!bound() && is_tcp()) set_local(network::source(on(), to).with_port(of().ephemeral_port()));
    connect_to(*server_side, to);
    server_side->set_local(to);
    listener.backlog_.push_back(std::move(server_side));
    return 0;
}

// The way there and back, begun by the first attempt.
bool connection_socket::handshake_ends(const address& to) {
    if (!handshake_end_) {
        handshake_end_ = now() + draw_latency(to) + draw_latency(to);
        if (handshake_end_ > now()) of().expect_arrival(*this);
    }
    return handshake_end_ <= now();
}

time_point connection_socket::now() const noexcept {
    return of().within().now();
}

bool connection_socket::may_connect(const address& to) const {
    if (is_tcp() && (!reaches(to) || handshake_end_ > now())) return false;
    const found_socket found = of().bound_at(on(), to, type());
    return found.bound == nullptr || found.bound->type() != type() ||
           !static_cast<const connection_socket&>(*found.bound).backlog_is_full();
}

void connection_socket::connect_to(connection_socket& server_side, const address& to) {
    state_ = state::connected;
    set_peer_address(to);
    peer_ = std::static_pointer_cast<connection_socket>(server_side.shared_from_this());
    server_side.state_ = state::connected;
    server_side.set_peer_address(local());
    server_side.peer_ = std::static_pointer_cast<connection_socket>(shared_from_this());
    state_changed();
}

int connection_socket::may_accept() const {
    if (state_ != state::listening || receiving_ended_) return -EINVAL;
    return backlog_.empty() ? -EAGAIN : 0;
}

std::shared_ptr<socket> connection_socket::accept() {
    std::shared_ptr<connection_socket> first = std::move(backlog_.front());
    backlog_.pop_front();
    return first;
}

int connection_socket::shutdown(int how) {
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

void connection_socket::vanish() noexcept {
    // What was on its way here comes again when the machine is back, which does not know it any more.
    const auto peer = peer_.lock();
    if (is_tcp() && peer != nullptr && (in_.on_the_way() != 0 || in_.end_on_the_way())) peer->send_reset();
    state_ = state::gave_up;
    for (const auto& waiting : std::exchange(backlog_, {})) waiting->vanish();
}

std::size_t connection_socket::capacity() const noexcept {
    const auto peer = peer_.lock();
    return is_tcp() && peer != nullptr ? send_buffer() + peer->receive_buffer() : send_buffer();
}

std::size_t connection_socket::room() const noexcept {
    const auto peer = peer_.lock();
    const std::size_t used = peer != nullptr ? peer->in_.used() : 0;
    return capacity() - std::min(used, capacity());
}

// TCP wants a third of the buffer to be free before it says so, unix sockets three quarters.
bool connection_socket::writable() const noexcept {
    return is_tcp() ? room() * 3 >= capacity() : (capacity() - room()) * 4 <= capacity();
}

unsigned connection_socket::events() const noexcept {
    if (state_ == state::listening) return may_accept() != -EAGAIN ? POLLIN : 0;
    if (state_ != state::connected) return POLLOUT | POLLHUP;
    const bool no_more_to_receive = receiving_ended_ || in_.end_arrived;
    unsigned ready = 0;
    if (in_.arrived != 0 || !in_.records.empty() || no_more_to_receive || error() != 0) ready |= POLLIN;
    if (writable() || (is_tcp() && sending_ended_)) ready |= POLLOUT;
    if (error() != 0) ready |= POLLERR;
    if (no_more_to_receive) ready |= POLLRDHUP;
    if (no_more_to_receive && sending_ended_) ready |= POLLHUP;
    return ready;
}

int connection_socket::send(std::span<const iovec> pieces, std::size_t skip, std::size_t most) {
    // A unix stream tells its error only to who receives.
    if (error() != 0 && (is_tcp() || !is_stream())) return -take_error();
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
        if (moved < wanted) set_full(true);
        if (moved == 0 && wanted != 0) return -EAGAIN;
        const time_point due = arrival_time(*peer);
        const bool late = due > now() || travels(*peer);
        if (due > now() && moved != 0) peer->in_.segments.push_back({peer->in_.sent, due});
        append(peer->in_.bytes.back(), pieces, skip, moved);
        peer->in_.sent += moved;
        if (late)
            of().expect_arrival(*peer);
        else
            peer->in_.arrived = peer->in_.bytes.size();
    } else {
        if (wanted + least_of_a_record > send_buffer()) return -EMSGSIZE;
        set_full(room() == 0 || most < wanted); // whoever finds some room may send any record
        if (full()) return -EAGAIN;
        append(peer->in_.records.emplace_back(), pieces, 0, wanted);
        peer->in_.size_of_records += wanted + record_overhead;
        moved = wanted;
    }
    return static_cast<int>(moved);
}

time_point connection_socket::arrival_time(const connection_socket& to) const {
    return is_tcp() ? to.in_.last_due(now() + draw_latency(peer_address())) : now();
}

bool connection_socket::travels(const connection_socket& to) const {
    if (!is_tcp()) return false;
    world& within = of().within();
    return slow_ || within.chance(within.knobs().late_delivery, "late delivery") ||
           to.has_arrivals() || // what came before comes first
           is_cut_off() || (to.receiving_ended_ && to.sending_ended_);
}

int connection_socket::receive(void* target, std::size_t size, int flags, std::size_t most) {
    if (state_ != state::connected) return -ENOTCONN;
    return is_stream() ? receive_bytes(target, size, most) : receive_record(target, size, flags);
}

int connection_socket::receive_bytes(void* target, std::size_t size, std::size_t most) {
    if (in_.arrived == 0) return nothing_to_receive();
    const std::size_t taken = std::min({in_.arrived, size, most});
    std::memcpy(target, in_.bytes.data(), taken);
    in_.bytes.remove_front(taken);
    in_.arrived -= taken;
    made_room();
    return static_cast<int>(taken);
}

int connection_socket::receive_record(void* target, std::size_t size, int flags) {
    if (error() != 0 || in_.records.empty()) return nothing_to_receive();
    const std::string record = std::move(in_.records.front());
    in_.records.pop_front();
    in_.size_of_records -= record.size() + record_overhead;
    const std::size_t taken = std::min(record.size(), size);
    std::memcpy(target, record.data(), taken);
    made_room();
    return static_cast<int>((flags & MSG_TRUNC) != 0 ? record.size() : taken);
}

int connection_socket::nothing_to_receive() noexcept {
    if (is_tcp() && in_.end_arrived) return 0; // whatever came behind the end
    if (error() != 0) return -take_error();
    return receiving_ended_ || in_.end_arrived ? 0 : -EAGAIN;
}

std::size_t connection_socket::received() const noexcept {
    return in_.records.empty() ? in_.arrived : in_.records.front().size();
}

// The sender hears of it: a unix one whenever it can send, a TCP one if it had found no room.
void connection_socket::made_room() {
    const auto peer = peer_.lock();
    if (peer == nullptr || !peer->writable()) return;
    if (is_tcp() && !peer->full()) return;
    peer->set_full(false);
    peer->state_changed();
}

connection_socket::sent_bytes connection_socket::sent_by_now() const {
    const auto peer = peer_.lock();
    return {peer_, peer == nullptr ? 0 : peer->in_.sent};
}

// It keeps the bytes until the receiver has taken them; that is later than a network that waits for their arrival only.
bool connection_socket::sent_bytes::let_go() const noexcept {
    const auto at = receiver.lock();
    return at == nullptr || at->in_.reset_arrived || at->in_.sent - at->in_.bytes.size() >= end;
}

std::size_t connection_socket::inbound::due_bytes(time_point now) const noexcept {
    const auto late = std::ranges::find_if(segments, [now](const segment& each) { return each.due > now; });
    const std::uint64_t have_arrived = sent - on_the_way();
    return late == segments.end() ? on_the_way() : static_cast<std::size_t>(late->begin - have_arrived);
}

bool connection_socket::has_arrivals() const noexcept {
    return in_.on_the_way() != 0 || in_.end_on_the_way() || in_.reset_sent || !told_of_room() ||
           handshake_end_ > now();
}

bool connection_socket::may_arrive() const {
    if (!told_of_room()) return true;
    return next_arrival() <= now();
}

time_point connection_socket::next_arrival() const {
    time_point next = time_point::max();
    if (is_cut_off()) return next;
    if (in_.reset_sent) next = in_.reset_due;
    if (in_.due_bytes(now()) != 0) return now();
    if (in_.on_the_way() != 0)
        next = std::min(next, in_.segments.front().due);
    else if (in_.end_on_the_way())
        next = std::min(next, in_.end_due);
    return handshake_end_ > now() ? std::min(next, *handshake_end_) : next;
}

void connection_socket::arrive() {
    world& within = of().within();
    if (!told_of_room() && (is_cut_off() || within.choose(2, "room or arrival") == 0)) {
        tell_of_room();
        return;
    }
    const std::size_t due_bytes = in_.due_bytes(now());
    const bool end_due = in_.on_the_way() == 0 && in_.end_on_the_way() && in_.end_due <= now();
    const bool reset_due = in_.reset_sent && in_.reset_due <= now();
    const bool alone = due_bytes == 0 && !end_due;
    if (reset_due && (within.choose(2, "reset or what was sent before it") == 0 || alone)) {
        become_reset();
    } else if (due_bytes != 0 && receiving_ended_ && sending_ended_) {
        // Nobody will ever receive it, and the sender is told.
        const auto peer = peer_.lock();
        become_reset();
        if (peer != nullptr) peer->send_reset();
    } else if (due_bytes != 0) {
        constexpr std::size_t slowly = 100; // bytes at a time
        const auto all = static_cast<std::uint32_t>(slow_ ? std::min(due_bytes, slowly) : due_bytes);
        in_.arrived += within.choose(2, "all or a part arrives") == 0
                           ? all
                           : 1 + within.choose(all, "how many bytes arrive");
        while (!in_.segments.empty() && in_.segments.front().due <= now()) in_.segments.pop_front();
    } else if (end_due) {
        in_.end_arrived = true;
        state_changed();
    }
}

void connection_socket::send_end() {
    const auto peer = peer_.lock();
    if (peer == nullptr) return;
    if (!is_tcp()) {
        peer->receiving_ended_ = true;
        return;
    }
    peer->in_.end_sent = true;
    peer->in_.end_due = arrival_time(*peer);
    of().expect_arrival(*peer);
}

// To this socket.
void connection_socket::send_reset() {
    in_.reset_sent = true;
    in_.reset_due = now() + draw_latency(peer_address());
    of().expect_arrival(*this);
}

void connection_socket::become_reset() {
    in_.reset_sent = false;
    in_.reset_arrived = true;
    in_.bytes.truncate(in_.arrived);
    in_.segments.clear();
    in_.end_sent = in_.end_arrived;
    set_error(in_.end_arrived ? EPIPE : ECONNRESET);
    receiving_ended_ = true;
    sending_ended_ = true;
    need_not_tell();
    peer_.reset();
    state_changed();
}

void connection_socket::close_listener() {
    for (const auto& waiting : backlog_) waiting->let_close_reset();
    backlog_.clear();
}

void connection_socket::close_tcp() {
    const auto peer = peer_.lock();
    if (peer == nullptr) return;
    if (close_resets() || in_.arrived != 0) {
        peer->send_reset();
        return;
    }
    if (!sending_ended_) send_end();
    if (in_.on_the_way() != 0) peer->send_reset(); // the answer to what will come
}

void connection_socket::close_unix() {
    const auto peer = peer_.lock();
    if (peer == nullptr) return;
    if (in_.arrived != 0 || !in_.records.empty() || close_resets()) peer->set_error(ECONNRESET);
    peer->receiving_ended_ = true;
    peer->sending_ended_ = true;
    peer->state_changed();
}

} // namespace chainring::sim
