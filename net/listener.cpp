#include <chainring/net/listener.hpp>
#include <chainring/runtime/log.hpp>

#include <spdlog/logger.h>

#include <algorithm>
#include <cerrno>

namespace chainring {

namespace {

using namespace std::chrono_literals;

constexpr duration first_pause = 5ms;
constexpr duration longest_pause = 1s;

bool out_of_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// accept(2): errors of the connection that was in the backlog, not of the listener.
bool of_the_connection(int error) noexcept {
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
    case EINTR:
    case EAGAIN: return true;
    default: return false;
    }
}

} // namespace

bool acceptor::wait(taker& waiting) noexcept {
    if (taker_ != nullptr) return false;
    taker_ = &waiting;
    ask_for_turn_end();
    return true;
}

void acceptor::submit_pending() noexcept {
    if (taker_ == nullptr || (accept_ && home().in_flight(accept_)) || armed()) return;
    accept_ = start([this](io_uring_sqe& sqe) {
        io_uring_prep_accept(&sqe, descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
    });
}

void acceptor::completed(const io_uring_cqe& cqe) noexcept {
    accept_ = {};
    const int result = cqe.res;
    if (result >= 0) {
        pause_ = {};
        apply_options(home().behind(), result, AF_UNIX, not_inherited_);
        if (taker_ != nullptr)
            tell(result);
        else
            home().dispose_descriptor(result);
    } else if (!open() || cancelled_) {
        tell(-ECANCELED);
    } else if (out_of_resources(-result)) {
        back_off();
    } else if (of_the_connection(-result) || result == -ECANCELED) {
        if (taker_ != nullptr) ask_for_turn_end();
    } else {
        tell(result);
    }
}

void acceptor::back_off() noexcept {
    ++home().counters().accepts_deferred;
    if (pause_ == duration::zero())
        log().warn("accept: out of descriptors or memory; connections wait in the backlog");
    pause_ = pause_ == duration::zero() ? first_pause : std::min(pause_ * 2, longest_pause);
    home().timers().arm(*this, home().now() + pause_);
}

void acceptor::tell(int result) noexcept {
    cancelled_ = false;
    if (taker_ != nullptr) std::exchange(taker_, nullptr)->accepted(result);
}

void acceptor::cancel() noexcept {
    if (accept_ && home().in_flight(accept_)) {
        cancelled_ = true;
        home().request_cancel(accept_);
    } else {
        cancel_timer();
        tell(-ECANCELED);
    }
}

void acceptor::leave(taker& waiting) noexcept {
    if (taker_ != &waiting) return;
    taker_ = nullptr;
    cancelled_ = false; // what was asked for this taker's sake is no business of the next one
    if (accept_) home().request_cancel(accept_);
}

void acceptor::cancel_in_flight() noexcept {
    home().request_cancel(accept_);
}

void acceptor::closing() noexcept {
    cancel_timer();
    if (!path_.empty()) home().behind().remove_file(path_.c_str());
    if (!accept_ || !home().in_flight(accept_)) tell(-EBADF);
}

bool accept_waiter::start(executor& home) noexcept {
    home_ = &home;
    if (acceptor_ == nullptr || !acceptor_->open())
        error_ = errc::closed;
    else if (!acceptor_->wait(*this))
        error_ = errc::busy;
    else
        return true;
    return false;
}

void accept_waiter::accepted(int result) noexcept {
    if (result >= 0)
        descriptor_ = result;
    else if (result == -ECANCELED)
        error_ = acceptor_->open() ? errc::cancelled : errc::closed;
    else
        error_ = result == -EBADF ? fault(errc::closed) : fault::from_result(result);
    acceptor_ = nullptr;
    home_->ready().push(*this);
}

result<socket_pointer<connection>> accept_waiter::take() noexcept {
    acceptor_ = nullptr;
    if (error_) return failure(error_);
    return socket_pointer<connection>(new connection(*home_, std::exchange(descriptor_, -1), type_));
}

accept_waiter::~accept_waiter() {
    if (descriptor_ >= 0)
        home_->dispose_descriptor(descriptor_);
    else if (acceptor_ != nullptr && home_ != nullptr && !error_)
        acceptor_->leave(*this);
}

result<socket_pointer<acceptor>> listen_on(int type, const endpoint& at, const listen_options& options) {
    const result<executor*> home = current_executor();
    if (!home) return failure(home.error());
    kernel& behind = (*home)->behind();
    const int descriptor = open_socket(behind, at, type, options.socket);
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
    return socket_pointer<acceptor>(new acceptor(**home, descriptor, std::string(at.path()), not_inherited));
}

} // namespace chainring
