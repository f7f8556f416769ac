#include <chainring/net/stream.hpp>

namespace chainring {

void receive_operation::cancel() noexcept {
    from_->dismiss(*this, errc::cancelled);
}

bool receive_into_operation::start(executor&) noexcept {
    if (from_ != nullptr && from_->gives_nothing_to(target_)) {
        from_ = nullptr;
        return false;
    }
    if (const fault refused = from_ != nullptr ? from_->admit(*this) : fault(errc::closed)) {
        refuse(refused);
        return false;
    }
    if (from_->may_take()) return from_->lets_others_go_first(*this);
    if (from_->armed()) {
        from_->wait(); // a multishot receive is armed already: what it brings is copied
    } else {
        direct_ = true; // before it starts: it may complete at once
        from_->wait_directly(target_);
    }
    return true;
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
    if (from_ != nullptr) return from_->take_into(*this, target_);
    const auto size = static_cast<std::size_t>(received_);
    if (size > target_.size()) return failure(from_errno(EMSGSIZE)); // a message that was cut off
    return size;
}

// The kernel may be writing into the target.
void receive_into_operation::end() noexcept {
    receiver& from = *from_;
    from.leave(*this);
    from.cancel_and_wait();
}

// stream

result<void> stream::set_zero_copy(std::size_t from_bytes) noexcept {
    const result<int> family = option(SOL_SOCKET, SO_DOMAIN);
    if (!family) return failure(family.error());
    if (*family == AF_UNIX || !sending()->is_stream()) return failure(fault::from_errno(EOPNOTSUPP));
    sending()->set_zero_copy(from_bytes);
    return {};
}

result<void> stream::set_send_path(send_path path) {
    if (!is_open()) return failure(errc::closed);
    const fault refused = sending()->set_path(path);
    if (refused) return failure(refused);
    return {};
}

result<void> stream::try_write(shared_message shared) {
    sender* to = sending();
    const fault refused = to != nullptr ? to->refuses_write(shared.size()) : fault(errc::closed);
    if (refused) return failure(refused);
    if (to->above_high_water()) return failure(errc::queue_full);
    to->write(*buffered_message::holding(std::move(shared)));
    return {};
}

task<result<void>> stream::flush() {
    if (is_open() && sending()->has_ended()) co_return result<void>(); // all that was queued by then was sent
    const result<std::size_t> flushed = co_await send_operation<queue_marker>(sending(), queue_marker());
    if (flushed) co_return result<void>();
    // What it was told is what became of a message that failed before it.
    const bool followed = flushed.error() == errc::never_started || flushed.error() == errc::broken;
    if (followed && is_open()) co_return failure(connection_->sending().failure());
    co_return failure(flushed.error());
}

task<result<void>> stream::shutdown() {
    do { // others may have queued more by the time that this task goes on
        const result<void> flushed = co_await flush();
        if (!flushed) co_return flushed;
    } while (!connection_->sending().idle());
    co_return connection_->end_sending();
}

} // namespace chainring
