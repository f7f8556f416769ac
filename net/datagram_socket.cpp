#include <chainring/net/datagram_socket.hpp>

#include <linux/sock_diag.h>

namespace chainring {

task<result<void>> datagram_socket::flush() {
    const result<std::size_t> flushed = co_await send_operation<queue_marker>(sending(), queue_marker());
    if (!flushed) co_return failure(flushed.error());
    const fault lost = is_open() ? sending()->take_loss() : fault();
    if (lost) co_return failure(lost);
    co_return result<void>();
}

result<std::uint32_t> datagram_socket::overflows() const noexcept {
    if (!is_open()) return failure(errc::closed);
    std::uint32_t all[SK_MEMINFO_VARS] = {};
    socklen_t size = sizeof all;
    const int returned =
        socket_->home().behind().get_option(socket_->descriptor(), SOL_SOCKET, SO_MEMINFO, all, size);
    if (returned < 0) return failure(from_errno(-returned));
    return all[SK_MEMINFO_DROPS];
}

result<void> datagram_socket::set_peer(const endpoint& to) noexcept {
    return is_open() ? socket_->connect(to) : failure(errc::closed);
}

result<void> datagram_socket::clear_peer() noexcept {
    return set_peer(endpoint()); // of no family: AF_UNSPEC dissolves the association
}

} // namespace chainring
