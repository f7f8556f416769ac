#include <chainring/net/shared_port.hpp>

#include <fcntl.h>

namespace chainring {

result<void> shared_port_base::reserve(const socket_kind& kind, const endpoint& at) {
    const result<executor*> home = current_executor();
    if (!home) return failure(home.error());
    kernel& behind = (*home)->behind();
    const int opened = open_socket(behind, at, kind, options_.socket);
    if (opened < 0) return failure(from_errno(-opened));
    owned_descriptor reserved(opened, behind);
    const int on = 1; // as the listeners do
    int returned = behind.set_option(opened, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (returned >= 0) returned = behind.bind(opened, at.address(), at.length());
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (returned >= 0) returned = behind.local_address(opened, reinterpret_cast<sockaddr*>(&bound), length);
    if (returned < 0) return failure(from_errno(-returned));
    local_ = endpoint::from_native(reinterpret_cast<const sockaddr*>(&bound), length);
    reserved_ = std::move(reserved);
    return {};
}

result<owned_descriptor> shared_port_base::duplicate(int of) {
    const result<executor*> home = current_executor();
    if (!home) return failure(home.error());
    (*home)->behind().about_to_leave("a listening socket that executors share (dup)");
    const int made = ::fcntl(of, F_DUPFD_CLOEXEC, 0);
    if (made < 0) return failure(from_errno(errno));
    return owned_descriptor(made, (*home)->behind());
}

} // namespace chainring
