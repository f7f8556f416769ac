#include <chainring/net/stream.hpp>

namespace chainring {

namespace {

// Takes over a lease whose sender died while the kernel reads from it.
class orphaned_message final : public outgoing_message {
  public:
    explicit orphaned_message(buffer&& lease) noexcept
        : outgoing_message({})
        , lease_(std::move(lease)) {}
    void settled(fault) noexcept override { delete this; }

  private:
    buffer lease_;
};

bool usable(const connection* state) noexcept {
    return state != nullptr && state->open();
}

} // namespace

// receive

bool receive_operation::await_ready() const noexcept {
    return usable(connection_) && connection_->received().has_news() && !connection_->has_reader();
}

bool receive_operation::start(executor&) noexcept {
    if (usable(connection_) && connection_->wait(*this)) return true;
    error_ = usable(connection_) ? errc::busy : errc::closed;
    connection_ = nullptr;
    return false;
}

void receive_operation::news(bool closed) noexcept {
    executor& home = connection_->home();
    if (closed) {
        error_ = errc::closed;
        connection_ = nullptr;
    }
    home.ready().push(*this);
}

void receive_operation::cancel() noexcept {
    error_ = errc::cancelled;
    connection_->leave(*this); // what arrives from now on is for the next receive
    std::exchange(connection_, nullptr)->home().ready().push(*this);
}

result<buffer> receive_operation::await_resume() noexcept {
    if (error_) return failure(error_);
    connection_->leave(*this);
    return connection_->received().take(connection_->home().buffers());
}

// receive_into

receive_into_operation::~receive_into_operation() {
    if (connection_ == nullptr) return;
    connection_->leave(*this);
    if (home_ != nullptr) connection_->cancel_receive_and_wait();
}

bool receive_into_operation::start(executor& home) noexcept {
    if (!usable(connection_)) {
        error_ = errc::closed;
    } else if (connection_->has_reader()) {
        error_ = errc::busy;
    } else if (connection_->received().has_news()) {
        return false;
    } else if (connection_->receiving()) {
        // A multishot receive is armed already: what it brings is copied.
        return connection_->wait(*this);
    } else {
        home_ = &home;
        return connection_->wait_directly(*this, target_);
    }
    connection_ = nullptr;
    return false;
}

void receive_into_operation::news(bool closed) noexcept {
    executor& home = connection_->home();
    if (closed) {
        error_ = errc::closed;
        connection_ = nullptr;
    }
    home.ready().push(*this);
}

void receive_into_operation::received_directly(int result) noexcept {
    connection_ = nullptr;
    if (result == -EBADF)
        error_ = errc::closed;
    else if (result < 0)
        error_ = fault::from_result(result);
    else
        size_ = static_cast<std::size_t>(result);
    home_->ready().push(*this);
}

void receive_into_operation::cancel() noexcept {
    if (home_ != nullptr) {
        connection_->cancel_receive();
        return;
    }
    error_ = errc::cancelled;
    connection_->leave(*this);
    std::exchange(connection_, nullptr)->home().ready().push(*this);
}

result<std::size_t> receive_into_operation::await_resume() noexcept {
    if (error_) return failure(error_);
    if (connection_ == nullptr) return size_;
    connection_->leave(*this);
    return connection_->received().take_into(connection_->home().buffers(), target_);
}

// send

send_operation::~send_operation() {
    if (!list_node<message_tag>::linked() || connection_->withdraw_send(*this)) return;
    if (lease_.empty())
        connection_->abandon_send(*this);
    else
        send_queue::replace(*this, *new orphaned_message(std::move(lease_)));
}

bool send_operation::start(executor&) noexcept {
    if (usable(connection_) && connection_->send(*this)) return true;
    error_ = usable(connection_) ? errc::broken : errc::closed;
    return false;
}

void send_operation::settled(fault error) noexcept {
    error_ = error;
    connection_->home().ready().push(*this);
}

result<std::size_t> send_operation::await_resume() noexcept {
    lease_ = {}; // the block goes home before the coroutine runs on, not when the expression ends
    if (error_) return failure(error_);
    return sent();
}

// stream

task<result<void>> stream::shutdown() {
    const result<std::size_t> flushed = co_await send(std::span<const std::byte>());
    if (!flushed) co_return failure(flushed.error());
    co_return connection_->shutdown(SHUT_WR);
}

task<result<void>> stream::close() {
    if (!is_open()) co_return failure(errc::closed);
    // An empty message is complete when all before it are.
    const result<std::size_t> flushed = co_await send(std::span<const std::byte>());
    if (is_open()) connection_->begin_close();
    co_await socket::closed_operation(*connection_);
    if (!flushed) co_return failure(flushed.error());
    co_return result<void>();
}

} // namespace chainring
