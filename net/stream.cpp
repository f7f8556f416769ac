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

} // namespace

void receive_operation::cancel() noexcept {
    from_->dismiss(*this, errc::cancelled);
}

bool receive_into_operation::start(executor&) noexcept {
    if (from_ == nullptr) {
        error_ = errc::closed;
    } else if (from_->may_take()) {
        return false;
    } else if (from_->armed()) {
        // A multishot receive is armed already: what it brings is copied.
        error_ = from_->wait(*this);
    } else {
        direct_ = true; // before it starts: it may complete at once
        error_ = from_->wait_directly(*this, target_);
    }
    return !error_;
}

void receive_into_operation::cancel() noexcept {
    if (direct_) {
        from_->cancel();
        return;
    }
    from_->dismiss(*this, errc::cancelled);
}

result<std::size_t> receive_into_operation::await_resume() noexcept {
    if (error_) return failure(error_);
    if (direct_) return static_cast<std::size_t>(received_);
    return from_->take_into(*this, target_);
}

// The kernel may be writing into the target.
void receive_into_operation::end() noexcept {
    receiver& from = *from_;
    if (error_) return; // it was not started
    from.leave(*this);
    from.cancel_and_wait();
}

void send_operation::end() noexcept {
    if (to_->withdraw(*this)) return;
    if (lease_.empty())
        to_->abandon(*this);
    else
        send_queue::replace(*this, *new orphaned_message(std::move(lease_)));
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
