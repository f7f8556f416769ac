#include <chainring/net/connect.hpp>

#include <cerrno>

namespace chainring {

bool connect_waiter::start(executor& home) noexcept {
    home_ = &home;
    const int descriptor = open();
    if (descriptor >= 0) {
        connection_.reset(new connection(home, {.number = descriptor}, kind_.type));
        connection_->connect(to_, *this);
        return true;
    }
    error_ = fault::from_result(descriptor);
    const bool out_of_descriptors = descriptor == -EMFILE || descriptor == -ENFILE;
    if (!out_of_descriptors || home.counters().pending_closes == 0) return false;
    home.at_close_end(*this);
    return true;
}

// A bound socket, or -errno.
int connect_waiter::open() noexcept {
    kernel& behind = home_->behind();
    const int descriptor = open_socket(behind, to_, kind_, options_);
    if (descriptor < 0 || from_.family() == AF_UNSPEC) return descriptor;
    const int bound = behind.bind(descriptor, from_.address(), from_.length());
    if (bound >= 0) return descriptor;
    behind.close(descriptor);
    return bound;
}

// A close has given its descriptor back.
void connect_waiter::at_turn_end() noexcept {
    error_ = {};
    if (!start(*home_)) home_->ready().push(*this);
}

void connect_waiter::cancel() noexcept {
    if (connection_ != nullptr) {
        connection_->cancel_connect();
    } else if (turn_end_work::linked()) {
        turn_end_work::unlink();
        error_ = errc::cancelled;
        home_->ready().push(*this);
    }
}

void connect_waiter::connected(int result) noexcept {
    if (result < 0)
        error_ = fault::from_result(result);
    else
        connection_->connected_to(to_.address());
    home_->ready().push(*this);
}

result<socket_pointer<connection>> connect_waiter::take() noexcept {
    if (error_) return failure(error_);
    return std::move(connection_);
}

connect_waiter::~connect_waiter() {
    if (connection_ != nullptr) connection_->leave(*this);
}

} // namespace chainring
