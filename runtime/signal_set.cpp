#include <chainring/runtime/signal_set.hpp>

#include <bit>

namespace chainring {

namespace detail {

int signal_channel::take() noexcept {
    const std::uint64_t all = pending_.load();
    if (all == 0) return 0;
    const int lowest = std::countr_zero(all);
    pending_.fetch_and(~(std::uint64_t{1} << lowest));
    return lowest + 1;
}

void signal_channel::arrived(int signal) noexcept {
    if (home_->forked()) { // the executor is the parent's
        signal_handlers::pass_on(signal);
        return;
    }
    pending_.fetch_or(std::uint64_t{1} << (signal - 1));
    if (!posted_.exchange(true)) home_->post(static_cast<posted_work&>(*this));
}

void signal_channel::run() noexcept {
    posted_.store(false); // first: what arrives from here on is posted again
    if (closed_)
        delete this;
    else if (waiting != nullptr && pending_.load() != 0)
        home_->ready().push(*waiting);
}

void signal_channel::abandon() noexcept {
    handlers_.uninstall();
    list_node<resource_tag>::unlink();
    if (posted_.exchange(false)) home_->withdraw(*this);
    home_ = nullptr;
}

std::string signal_channel::describe(time_point) const {
    return "a signal_set";
}

void signal_channel::close() noexcept {
    handlers_.uninstall();
    list_node<resource_tag>::unlink();
    closed_ = true;
    if (!posted_.load()) delete this;
}

} // namespace detail

bool signal_operation::start(executor&) noexcept {
    const bool closed = from_ == nullptr || from_->home() == nullptr;
    if (closed || from_->waiting != nullptr) {
        error_ = closed ? errc::closed : errc::busy;
        from_ = nullptr;
        return false;
    }
    from_->waiting = this; // until it goes on: what has arrived by then is its own
    return !from_->pending();
}

void signal_operation::cancel() noexcept {
    from_->waiting = nullptr;
    error_ = errc::cancelled;
    from_->home()->ready().push(*this);
}

result<int> signal_operation::await_resume() noexcept {
    if (error_) return failure(error_);
    from_->waiting = nullptr;
    return from_->take();
}

result<signal_set> signal_set::open(const std::vector<int>& signals) {
    executor* home = executor::current();
    if (home == nullptr) return failure(from_errno(EPERM));
    home->behind().about_to_leave("a signal_set");
    signal_set made(new detail::signal_channel(*home));
    if (const result<void> installed = made.channel_->install(signals); !installed)
        return failure(installed.error());
    return made;
}

} // namespace chainring
