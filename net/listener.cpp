#include <chainring/net/listener.hpp>

namespace chainring {

namespace {

// Of a listener that has closed.
fault why_closed(const executor& home) noexcept {
    return home.shutting_down() ? errc::cancelled : errc::closed;
}

} // namespace

bool accept_waiter::start(executor& home) noexcept {
    home_ = &home;
    if (acceptor_ == nullptr || !acceptor_->open())
        error_ = why_closed(home);
    else if (acceptor_->may_take())
        taken_ = acceptor_->take();
    else if (!acceptor_->wait(*this))
        error_ = errc::busy;
    else
        return true;
    acceptor_ = nullptr;
    return false;
}

void accept_waiter::accepted(accepted_connection taken) noexcept {
    const int result = taken.descriptor;
    if (result >= 0)
        taken_ = std::move(taken);
    else if (result == -ECANCELED)
        error_ = acceptor_->open() ? fault(errc::cancelled) : why_closed(*home_);
    else
        error_ = result == -EBADF ? why_closed(*home_) : fault::from_result(result);
    acceptor_ = nullptr;
    home_->ready().push(*this);
}

result<socket_pointer<connection>> accept_waiter::take() noexcept {
    acceptor_ = nullptr;
    if (error_) return failure(error_);
    return connection_of(*home_, kind_, std::move(taken_));
}

accept_waiter::~accept_waiter() {
    if (taken_.descriptor >= 0)
        home_->dispose(taken_.file(), std::move(taken_.place));
    else if (acceptor_ != nullptr && home_ != nullptr && !error_)
        acceptor_->leave(*this);
}

result<socket_pointer<acceptor>>
listen_on(const socket_kind& kind, const endpoint& at, const listen_options& options) {
    const result<executor*> home = current_executor();
    if (!home) return failure(home.error());
    if ((*home)->shutting_down()) return failure(errc::cancelled);
    // What a unix socket does not inherit would have to be set on each direct descriptor.
    const bool inherits = at.family() != AF_UNIX || !options.socket.sets_something_of_a_unix_socket();
    if (options.direct_descriptors && ((*home)->direct_descriptors().places() == 0 || !inherits))
        return failure(std::make_error_code(std::errc::operation_not_supported));
    kernel& behind = (*home)->behind();
    const int descriptor = open_socket(behind, at, kind, options.socket);
    if (descriptor < 0) return failure(from_errno(-descriptor));

    // So that a restarted server may bind while connections of the last one are in TIME_WAIT.
    const int on = 1;
    int returned = 0;
    if (at.family() != AF_UNIX)
        returned = behind.set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (returned >= 0) returned = behind.bind(descriptor, at.address(), at.length());
    if (returned >= 0) returned = behind.listen(descriptor, options.backlog);
    if (returned < 0) {
        behind.close(descriptor);
        return failure(from_errno(-returned));
    }
    // Connections of a unix listener begin with the sizes of net.core, whatever the listener's are.
    socket_options not_inherited;
    if (at.family() == AF_UNIX) not_inherited = options.socket;
    not_inherited.reuse_port = false;
    return socket_pointer<acceptor>(
        new acceptor(**home, descriptor, std::string(at.path()), options, not_inherited));
}

} // namespace chainring
