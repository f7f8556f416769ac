#include <chainring/net/connect.hpp>

#include <cerrno>

namespace chainring {

bool connect_waiter::start(executor& home) noexcept {
    const int descriptor = open_socket(home.behind(), to_, type_, options_);
    if (descriptor < 0) {
        error_ = fault::from_result(descriptor);
        return false;
    }
    if (from_.family() != AF_UNSPEC) {
        const int bound = home.behind().bind(descriptor, from_.address(), from_.length());
        if (bound < 0) {
            home.behind().close(descriptor);
            error_ = fault::from_result(bound);
            return false;
        }
    }
    connection_.reset(new connection(home, {.number = descriptor}, type_));
    connection_->connect(to_, *this);
    return true;
}

void connect_waiter::connected(int result) noexcept {
    if (result < 0) error_ = fault::from_result(result);
    connection_->home().ready().push(*this);
}

result<socket_pointer<connection>> connect_waiter::take() noexcept {
    if (error_) return failure(error_);
    return std::move(connection_);
}

connect_waiter::~connect_waiter() {
    if (connection_ != nullptr) connection_->leave(*this);
}

} // namespace chainring
