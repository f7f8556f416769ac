// What each operation of a simulated ring does when it is attempted.
#include <chainring/sim/simulated_ring.hpp>

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace chainring::sim {

namespace {

constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
constexpr unsigned always_polled = POLLERR | POLLHUP | POLLRDHUP; // whatever a poll asks for
constexpr int shots_at_a_time = 32;                               // then others get their turn

bool may_wait(const request& tried) noexcept {
    return (tried.sqe.msg_flags & MSG_DONTWAIT) == 0;
}

bool is_send(const request& shown) noexcept {
    return shown.sqe.opcode == IORING_OP_SEND || shown.sqe.opcode == IORING_OP_SENDMSG ||
           shown.sqe.opcode == IORING_OP_SEND_ZC;
}

// The half-close of a peer wakes who waits for room again and again, until a worker thread waits in its place.
bool waits_in_worker(const request& waiting) {
    return is_send(waiting) && may_wait(waiting) && (waiting.target->as_socket()->events() & POLLRDHUP) != 0;
}

} // namespace

bool simulated_ring::is_ready(const request& parked) const {
    if (parked.due || parked.queued != request::task_work::none) return true;
    if (parked.notifies != nullptr) return parked.notifies->sent.let_go();
    if (const event_file* const event = parked.target->as_event()) {
        const bool polls = parked.sqe.opcode == IORING_OP_POLL_ADD;
        return event->count != 0 && !(polls && event->wakes == parked.seen_wakes);
    }
    const socket& of = *parked.target->as_socket();
    switch (parked.sqe.opcode) {
    case IORING_OP_CONNECT: return of.may_connect(parked.to);
    case IORING_OP_POLL_ADD:
        if ((parked.sqe.poll32_events & of.events() & POLLIN) != 0) return true;
        return of.write_wakes() != parked.seen_wakes && (of.events() & (POLLOUT | always_polled)) != 0;
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC: // tries again at any wake
        return of.write_wakes() != parked.seen_wakes || (of.events() & (POLLOUT | POLLERR | POLLHUP)) != 0;
    default: return (of.events() & (POLLIN | POLLERR | POLLHUP)) != 0;
    }
}

simulated_ring::attempt simulated_ring::attempt_once(request& tried) {
    if (tried.notifies != nullptr) return notify(tried);
    switch (tried.sqe.opcode) {
    case IORING_OP_NOP: return end(tried, 0);
    case IORING_OP_ASYNC_CANCEL: return cancel(tried);
    case IORING_OP_CLOSE: return close(tried);
    case IORING_OP_POLL_ADD:
        if (event_file* const event = tried.target->as_event()) return poll(tried, *event);
        break;
    case IORING_OP_READ:
        if (event_file* const event = tried.target->as_event()) return read(tried, *event);
        world_.fail("the simulation lacks reads of anything but an eventfd");
    default: break;
    }
    socket* const of = tried.target->as_socket();
    if (of == nullptr) return end(tried, -ENOTSOCK);
    if (const int error = failure_of(tried, *of); error != 0)
        return is_send(tried) ? end_send(tried, -error) : end(tried, -error);
    switch (tried.sqe.opcode) {
    case IORING_OP_ACCEPT: return accept(tried, *of);
    case IORING_OP_FIXED_FD_INSTALL:
        if ((tried.sqe.flags & IOSQE_FIXED_FILE) == 0) return end(tried, -EBADF);
        return end(tried, files_.has_room() ? files_.add(tried.target) : -EMFILE);
    case IORING_OP_URING_CMD: {
        const io_uring_sqe& sqe = tried.sqe;
        const auto* value = reinterpret_cast<const void*>(sqe.optval);
        const int level = static_cast<int>(sqe.level);
        return end(tried, of->set_option(level, static_cast<int>(sqe.optname), value, sqe.optlen));
    }
    case IORING_OP_CONNECT: return connect(tried, *of);
    case IORING_OP_POLL_ADD: return poll(tried, *of);
    case IORING_OP_RECV: return receive(tried, *of);
    case IORING_OP_RECVMSG:
        return (tried.sqe.ioprio & IORING_RECV_MULTISHOT) != 0 ? receive_messages(tried, *of)
                                                               : receive_message(tried, *of);
    default: return send(tried, *of);
    }
}

// Without MSG_WAITALL a short send is a success, and a chain goes on behind it. With it the send carries on while it
// may wait; one that falls short all the same reports what moved, not why, and ends its chain.
simulated_ring::attempt simulated_ring::send(request& tried, socket& to) {
    const bool zero_copy = tried.sqe.opcode == IORING_OP_SEND_ZC;
    if (zero_copy && !(to.is_internet() && to.is_stream())) return end_send(tried, -EOPNOTSUPP);
    const std::size_t wanted = tried.size() - tried.done;
    std::size_t most = everything;
    if (wanted != 0 && world_.chance(world_.knobs().short_send, "short send"))
        most =
            world_.choose(static_cast<std::uint32_t>(std::min<std::size_t>(wanted, 1U << 30)), "bytes sent");
    const bool to_others = tried.to.family() != AF_UNSPEC;
    const int sent =
        to_others ? to.send_to(tried.pieces, most, tried.to) : to.send(tried.pieces, tried.done, most);
    if (most < wanted && (sent >= 0 || sent == -EAGAIN)) to.pretend_full();
    if (sent > 0) tried.done += static_cast<std::size_t>(sent);

    const bool all = sent >= 0 && tried.done == tried.size();
    bool wants_all = (tried.sqe.msg_flags & MSG_WAITALL) != 0;
    if (sent > 0 && !all && !wants_all && waits_in_worker(tried))
        wants_all = world_.chance(world_.knobs().elusive, "a worker thread sends all");
    if (all || (sent > 0 && !wants_all)) return end_send(tried, static_cast<int>(tried.done));
    if ((sent > 0 || sent == -EAGAIN) && may_wait(tried)) {
        tried.seen_wakes = to.write_wakes();
        return attempt::parked;
    }
    if (tried.done != 0) return end_send(tried, static_cast<int>(tried.done), true);
    return end_send(tried, sent);
}

bool simulated_ring::posted_last(request& shooting, int result, unsigned flags) {
    if (full() || world_.chance(world_.knobs().early_end, "multishot ends")) {
        end(shooting, result, flags);
        return true;
    }
    post(shooting.sqe.user_data, result, flags | IORING_CQE_F_MORE);
    return false;
}

simulated_ring::attempt simulated_ring::receive(request& tried, socket& from) {
    const io_uring_sqe& sqe = tried.sqe;
    const bool multishot = (sqe.ioprio & IORING_RECV_MULTISHOT) != 0;
    const bool selects = (sqe.flags & IOSQE_BUFFER_SELECT) != 0;
    for (int shot = 0; shot < shots_at_a_time; ++shot) {
        void* target = reinterpret_cast<void*>(sqe.addr);
        std::size_t size = sqe.len;
        buffer_ring* provided = nullptr;
        unsigned flags = 0;
        if (selects) { // before it is known whether there is something to receive
            const auto found = buffers_.find(sqe.buf_group);
            // Linux may know that it has received all there was, and needs no buffer then.
            const bool seems_done = shot != 0 && from.received() == 0 && found->second.empty();
            if (seems_done && world_.choose(2, "a buffer for nothing") == 0) return attempt::parked;
            if (found == buffers_.end() || found->second.empty()) return end(tried, -ENOBUFS);
            provided = &found->second;
            const io_uring_buf& taken = provided->front();
            target = reinterpret_cast<void*>(taken.addr);
            size = size == 0 ? taken.len : std::min<std::size_t>(size, taken.len);
            flags = IORING_CQE_F_BUFFER | (static_cast<unsigned>(taken.bid) << IORING_CQE_BUFFER_SHIFT);
        }
        std::size_t most = everything;
        if (size > 1 && from.is_stream() && from.received() > 1 &&
            world_.chance(world_.knobs().short_receive, "short receive"))
            most =
                1 + world_.choose(static_cast<std::uint32_t>(std::min(size, from.received()) - 1), "bytes");
        const int received = from.receive(target, size, static_cast<int>(sqe.msg_flags), most);
        if (received == -EAGAIN && may_wait(tried)) return attempt::parked;
        if (received <= 0) return end(tried, received); // the buffer stays in its ring
        if (provided != nullptr) ++provided->head;
        if (!multishot) return end(tried, received, flags);
        if (posted_last(tried, received, flags)) return attempt::ended;
    }
    return attempt::parked;
}

simulated_ring::attempt simulated_ring::receive_message(request& tried, socket& from) {
    std::size_t room = 0;
    for (const iovec& piece : tried.pieces) room += piece.iov_len;
    std::vector<std::byte> memory(room);
    const socket::arrived_message got =
        from.receive_message(memory.data(), room, static_cast<int>(tried.sqe.msg_flags));
    if (got.result == -EAGAIN && may_wait(tried)) return attempt::parked;
    if (got.result < 0) return end(tried, got.result);
    auto next = memory.begin();
    for (std::size_t left = got.copied; const iovec& piece : tried.pieces) {
        const std::size_t size = std::min(left, piece.iov_len);
        std::copy_n(next, size, static_cast<std::byte*>(piece.iov_base));
        next += static_cast<std::ptrdiff_t>(size);
        left -= size;
    }
    auto& answered = *reinterpret_cast<msghdr*>(tried.sqe.addr);
    if (answered.msg_name != nullptr)
        got.from.copy_to(static_cast<sockaddr*>(answered.msg_name), answered.msg_namelen);
    answered.msg_controllen = 0;
    const bool cut = got.copied < static_cast<std::size_t>(got.result);
    answered.msg_flags = static_cast<int>(tried.sqe.msg_flags & MSG_CMSG_CLOEXEC) | (cut ? MSG_TRUNC : 0);
    const bool whole = (tried.sqe.msg_flags & MSG_TRUNC) != 0;
    return end(tried, whole ? got.result : static_cast<int>(got.copied));
}

// Into a provided buffer goes a header, the sender's address, control messages, of which there are none, and the payload. An
// empty datagram ends it, as on Linux.
simulated_ring::attempt simulated_ring::receive_messages(request& tried, socket& from) {
    const io_uring_sqe& sqe = tried.sqe;
    for (int shot = 0; shot < shots_at_a_time; ++shot) {
        const auto found = buffers_.find(sqe.buf_group);
        const bool seems_done = shot != 0 && (from.events() & POLLIN) == 0 && found->second.empty();
        if (seems_done && world_.choose(2, "a buffer for nothing") == 0) return attempt::parked;
        if (found == buffers_.end() || found->second.empty()) return end(tried, -ENOBUFS);
        const io_uring_buf& taken = found->second.front();
        auto* const bytes = reinterpret_cast<std::byte*>(taken.addr);
        const std::size_t payload_at =
            sizeof(io_uring_recvmsg_out) + tried.header.msg_namelen + tried.header.msg_controllen;
        if (taken.len < payload_at) return end(tried, -EFAULT);
        const socket::arrived_message got =
            from.receive_message(bytes + payload_at, taken.len - payload_at, static_cast<int>(sqe.msg_flags));
        if (got.result == -EAGAIN && may_wait(tried)) return attempt::parked;
        if (got.result < 0) return end(tried, got.result); // the buffer stays in its ring
        io_uring_recvmsg_out header{};
        header.namelen = tried.header.msg_namelen;
        got.from.copy_to(reinterpret_cast<sockaddr*>(bytes + sizeof header), header.namelen);
        const bool cut = got.copied < static_cast<std::size_t>(got.result);
        header.flags = cut ? MSG_TRUNC : 0;
        header.payloadlen = (sqe.msg_flags & MSG_TRUNC) != 0 ? static_cast<unsigned>(got.result)
                                                             : static_cast<unsigned>(got.copied);
        std::memcpy(bytes, &header, sizeof header);
        ++found->second.head;
        const unsigned flags =
            IORING_CQE_F_BUFFER | (static_cast<unsigned>(taken.bid) << IORING_CQE_BUFFER_SHIFT);
        const int result = static_cast<int>(payload_at + got.copied);
        if (got.result == 0) return end(tried, result, flags);
        if (posted_last(tried, result, flags)) return attempt::ended;
    }
    return attempt::parked;
}

simulated_ring::attempt simulated_ring::accept(request& tried, socket& from) {
    const bool multishot = (tried.sqe.ioprio & IORING_ACCEPT_MULTISHOT) != 0;
    const bool direct = tried.sqe.file_index != 0;
    for (;;) {
        const int may = from.may_accept();
        if (may == -EAGAIN) return attempt::parked;
        if (may < 0) return end(tried, may);
        if (!direct && !files_.has_room()) return end(tried, -EMFILE); // the connection stays in the backlog
        const int descriptor = direct ? place_directly(from.accept()) : files_.add(from.accept());
        if (descriptor < 0) return end(tried, descriptor);
        if (!multishot) return end(tried, descriptor);
        if (posted_last(tried, descriptor, 0)) return attempt::ended;
    }
}

// Who connects over TCP may be told later than who accepts, or never, if it is cancelled in between.
simulated_ring::attempt simulated_ring::connect(request& tried, socket& from) {
    if (tried.connected) {
        int error = 0;
        socklen_t length = sizeof error;
        from.get_option(SOL_SOCKET, SO_ERROR, &error, length);
        return end(tried, -error);
    }
    const int connected = from.connect(tried.to);
    if (connected == -EAGAIN) return attempt::parked;
    const bool told_later = connected == 0 && from.is_internet() && from.is_stream() &&
                            world_.chance(world_.knobs().later, "told later of its connection");
    if (!told_later) return end(tried, connected);
    tried.connected = tried.due = true;
    return attempt::parked;
}

simulated_ring::attempt simulated_ring::poll(request& tried, socket& of) {
    // What such a poll says of arrivals is not known.
    if ((tried.sqe.len & IORING_POLL_ADD_MULTI) != 0 && (tried.sqe.poll32_events & POLLIN) != 0)
        world_.fail("the simulation lacks multishot polls of a socket for POLLIN");
    const unsigned asked = tried.sqe.poll32_events | always_polled;
    const unsigned ready = of.events() & asked;
    tried.seen_wakes = of.write_wakes();
    if (ready == 0) {
        of.expect_room();
        return attempt::parked;
    }
    if ((tried.sqe.len & IORING_POLL_ADD_MULTI) == 0) return end(tried, static_cast<int>(ready));
    return posted_last(tried, static_cast<int>(ready), 0) ? attempt::ended : attempt::parked;
}

// Whether it is read or not, each signal is told, or several as one.
simulated_ring::attempt simulated_ring::poll(request& tried, event_file& of) {
    if (tried.sqe.poll32_events != POLLIN)
        world_.fail("the simulation lacks polls of an eventfd for anything but POLLIN");
    tried.seen_wakes = of.wakes;
    if (of.count == 0) return attempt::parked;
    if ((tried.sqe.len & IORING_POLL_ADD_MULTI) == 0) return end(tried, POLLIN);
    return posted_last(tried, POLLIN, 0) ? attempt::ended : attempt::parked;
}

simulated_ring::attempt simulated_ring::read(request& tried, event_file& of) {
    if (tried.sqe.len < sizeof of.count) return end(tried, -EINVAL);
    if (of.count == 0) return attempt::parked;
    std::memcpy(reinterpret_cast<void*>(tried.sqe.addr), &of.count, sizeof of.count);
    of.count = 0;
    return end(tried, sizeof of.count);
}

// The answer tells whether the target was found, and the target's own CQE what it did. A target that is ready may
// complete first. One that a worker thread runs is "already" on its way: it ends, or, if the worker was giving it up
// just then, it does not.
simulated_ring::attempt simulated_ring::cancel(request& tried) {
    const auto find = [&] {
        const auto at = std::ranges::find_if(parked_, [&](const auto& each) {
            const bool there =
                each->queued == request::task_work::none || each->queued == request::task_work::is_cancelled;
            return there && each->sqe.user_data == tried.sqe.addr && each->notifies == nullptr;
        });
        return static_cast<std::size_t>(at - parked_.begin());
    };
    std::size_t which = find();
    const bool is_cancelled =
        which < parked_.size() && parked_[which]->queued == request::task_work::is_cancelled;
    if (is_cancelled) return end(tried, 0); // once more
    if (which < parked_.size() && is_ready(*parked_[which]) &&
        world_.choose(2, "a cancelled operation is faster") == 0) {
        resume(which);
        which = find(); // a multishot goes on
    }
    if (which == parked_.size()) return end(tried, -ENOENT);

    const io_uring_sqe& target = parked_[which]->sqe;
    const unsigned char opcode = target.opcode;
    const bool single_receive = (opcode == IORING_OP_RECV || opcode == IORING_OP_RECVMSG) &&
                                (target.ioprio & IORING_RECV_MULTISHOT) == 0;
    const bool may_be_elusive =
        opcode == IORING_OP_CONNECT || single_receive || waits_in_worker(*parked_[which]);
    if (may_be_elusive && world_.chance(world_.knobs().elusive, "an elusive target")) {
        // Between two polls a connect to a full backlog is nowhere.
        if (opcode == IORING_OP_CONNECT && !parked_[which]->connected && world_.choose(2, "not found") == 0)
            return end(tried, -ENOENT);
        end(tried, -EALREADY);
        if (world_.choose(2, "it ends") == 0) end_by_cancel(*take_out(which), -EINTR);
        return attempt::ended;
    }
    enum { answer_first, target_first, target_later };
    const std::uint32_t order = world_.choose(3, "the answer or its target comes first");
    if (order == target_later) {
        parked_[which]->queued = request::task_work::is_cancelled;
        return end(tried, 0);
    }
    if (order == answer_first) end(tried, 0);
    end_by_cancel(*take_out(which), -ECANCELED);
    return order == answer_first ? attempt::ended : end(tried, 0);
}

std::unique_ptr<request> simulated_ring::take_out(std::size_t which) {
    std::unique_ptr<request> taken = std::move(parked_[which]);
    parked_.erase(parked_.begin() + static_cast<std::ptrdiff_t>(which));
    return taken;
}

void simulated_ring::end_by_cancel(request& cancelled, int result) {
    if (cancelled.sqe.opcode == IORING_OP_CONNECT && !cancelled.connected)
        cancelled.target->as_socket()->give_up_connect();
    if (is_send(cancelled))
        end_send(cancelled, cancelled.done != 0 ? static_cast<int>(cancelled.done) : result, true);
    else
        end(cancelled, result);
}

} // namespace chainring::sim
