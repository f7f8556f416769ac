#include <chainring/net/adopt.hpp>

namespace chainring {

namespace {

enum class role { connected, listening, datagrams };

int option_of(kernel& behind, int descriptor, int name) noexcept {
    int value = 0;
    socklen_t length = sizeof value;
    const int returned = behind.get_option(descriptor, SOL_SOCKET, name, &value, length);
    return returned < 0 ? returned : value;
}

bool is_connected(kernel& behind, int descriptor) noexcept {
    sockaddr_storage room{};
    socklen_t length = sizeof room;
    return behind.peer_address(descriptor, reinterpret_cast<sockaddr*>(&room), length) >= 0;
}

// Why it cannot be adopted. Nothing has happened to it.
fault refusal_of(executor& home, const socket_kind& kind, int descriptor, role wanted) noexcept {
    kernel& behind = home.behind();
    if (descriptor < 0) return fault::from_errno(EBADF);
    const int type = option_of(behind, descriptor, SO_TYPE);
    if (type < 0) return fault::from_result(type);
    if (home.descriptors().contains(descriptor)) return errc::already_owned;
    if (type != kind.type) return fault::from_errno(EPROTOTYPE);
    if (!kind.takes(option_of(behind, descriptor, SO_DOMAIN))) return fault::from_errno(EAFNOSUPPORT);
    if (wanted == role::datagrams) return {};
    const bool listening = option_of(behind, descriptor, SO_ACCEPTCONN) > 0;
    if (wanted == role::listening) return listening ? fault() : errc::not_listening;
    if (listening) return errc::is_listening;
    return is_connected(behind, descriptor) ? fault() : fault::from_errno(ENOTCONN);
}

} // namespace

result<socket_pointer<connection>>
adopt_connection(const socket_kind& kind, adoptable given, byte_spans received) {
    const result<executor*> found = current_executor();
    if (!found) return failure(found.error());
    executor& home = **found;
    const int descriptor = given.descriptor();
    if (const fault refused = refusal_of(home, kind, descriptor, role::connected)) return failure(refused);

    receive_queue filled;
    for (const byte_span piece : received) {
        const fault refused =
            kind.type == SOCK_SEQPACKET && piece.empty()
                ? fault(errc::empty_message)
                : filled.copy(home.buffers(), piece, kind.type != SOCK_STREAM, descriptor, home.now());
        if (!refused) continue;
        filled.discard(home.buffers());
        return failure(refused);
    }

    home.behind().close_on_exec(descriptor);
    socket_pointer<connection> made(new connection(home, {.number = descriptor}, kind.type));
    given.taken();
    made->receiving().begin_with(filled);
    made->sending().has_sent_before();
    if (kind.internet) made->learn_peer();
    return made;
}

result<int> adoptable_family(executor& home, const socket_kind& kind, int descriptor) {
    if (const fault refused = refusal_of(home, kind, descriptor, role::datagrams)) return failure(refused);
    return option_of(home.behind(), descriptor, SO_DOMAIN);
}

result<socket_pointer<acceptor>>
adopt_acceptor(const socket_kind& kind, adoptable given, const listen_options& options) {
    const result<executor*> found = current_executor();
    if (!found) return failure(found.error());
    executor& home = **found;
    const int descriptor = given.descriptor();
    if (const fault refused = refusal_of(home, kind, descriptor, role::listening)) return failure(refused);
    if (home.shutting_down()) return failure(errc::cancelled);
    if (options.direct_descriptors && home.direct_descriptors().places() == 0)
        return failure(std::make_error_code(std::errc::operation_not_supported));

    home.behind().close_on_exec(descriptor);
    // Without a path: who has made it removes it.
    socket_pointer<acceptor> made(new acceptor(home, descriptor, {}, options, {.no_delay = false}));
    given.taken();
    return made;
}

} // namespace chainring
