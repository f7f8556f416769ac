#include <chainring/net/unix_datagram.hpp>

namespace chainring {

result<unix_datagram> unix_datagram::bind(const endpoint& at, const datagram_options& options) {
    result<socket_pointer<bound_socket>> made = bound_socket::make(kind, at, {}, options);
    if (!made) return failure(made.error());
    return unix_datagram(std::move(*made));
}

result<unix_datagram>
unix_datagram::connect(const endpoint& to, const endpoint& from, const datagram_options& options) {
    result<socket_pointer<bound_socket>> made = bound_socket::make(kind, from, to, options);
    if (!made) return failure(made.error());
    return unix_datagram(std::move(*made));
}

result<unix_datagram> unix_datagram::adopt(adoptable given, const datagram_options& options) {
    result<socket_pointer<bound_socket>> made = bound_socket::adopt(kind, given, options);
    if (!made) return failure(made.error());
    return unix_datagram(std::move(*made));
}

} // namespace chainring
