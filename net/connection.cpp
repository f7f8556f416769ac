#include <chainring/net/connection.hpp>

namespace chainring {

result<void> connection::end_sending() noexcept {
    if (!open()) return failure(errc::closed);
    const int descriptor = control();
    const int returned = descriptor < 0 ? descriptor : home().behind().shutdown(descriptor, SHUT_WR);
    if (returned < 0) return failure(from_errno(-returned));
    sender_.end();
    return {};
}

void connection::connect(const endpoint& to, connector& waiting) noexcept {
    const operation_id operation = start([&](io_uring_sqe& sqe) {
        auto* address = ::new (home().until_submitted().take<endpoint>(1).data()) endpoint(to);
        io_uring_prep_connect(&sqe, descriptor(), address->address(), address->length());
    });
    far_end_.begin(operation, waiting);
}

void connection::learn_peer() noexcept {
    if (native_handle() < 0) return;
    sockaddr_in6 room{}; // an internet address is no longer
    auto* peer = reinterpret_cast<sockaddr*>(&room);
    socklen_t length = sizeof room;
    if (home().behind().peer_address(native_handle(), peer, length) >= 0) connected_to(peer);
}

void connection::completed(const io_uring_cqe& cqe) noexcept {
    // EINTR is the answer of a connect that had fallen to a worker thread and was told to end there.
    if (connector* const waiting = far_end_.take_waiting())
        waiting->connected(cqe.res == -EINTR ? -ECANCELED : cqe.res);
}

std::vector<std::vector<std::byte>> connection::take_unsent() {
    std::vector<std::vector<std::byte>> all;
    sender_.hand_over_unsent(
        [&all](outgoing_message&, std::vector<std::byte> rest) { all.push_back(std::move(rest)); });
    return all;
}

// The kernel has told an operation of this side, and tells the next owner only that it has ended.
fault connection::why_broken() const noexcept {
    if (const fault failed = sender_.failure()) return failed;
    const fault unsent = why_unsent();
    const bool in_haste = unsent == errc::timed_out || unsent == errc::cancelled;
    // A batch that was to be cancelled may have been the last.
    if (unsent && !(in_haste && sender_.idle())) return unsent;
    return broken_by() != 0 ? fault::from_errno(broken_by()) : fault();
}

// Only TCP resets; and only what this side has sent can be lost by that.
bool connection::linger() noexcept {
    if (!sender_.is_stream() || !sender_.has_sent() || !receiver_.peer_still_sends()) return false;
    int family = 0;
    socklen_t length = sizeof family;
    home().behind().get_option(control(), SOL_SOCKET, SO_DOMAIN, &family, length);
    if (family == AF_UNIX) return false;
    home().behind().shutdown(control(), SHUT_WR);
    receiver_.discard();
    return true;
}

void connection::closing() noexcept {
    receiver_.close(sender_.why_closed());
    sender_.close();
}

void connection::cancel_in_flight() noexcept {
    home().request_cancel(far_end_.operation());
    receiver_.cancel();
    sender_.cancel_in_flight();
}

} // namespace chainring
