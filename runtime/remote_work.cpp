#include <chainring/runtime/remote_work.hpp>

namespace chainring {

void remote_work::send(executor& home) noexcept {
    assert(state_ == state::idle);
    home_ = &home;
    home.post_expected();
    state_ = state::travelling;
    at_->post(static_cast<posted_work&>(*this));
}

void remote_work::run() noexcept {
    std::unique_lock lock(mutex_);
    if (state_ == state::settled) {
        state_ = state::idle;
        const fault refused = refused_;
        lock.unlock();
        std::exchange(home_, nullptr)->post_arrived();
        settled(refused);
        return;
    }
    assert(state_ == state::travelling);
    state_ = state::there;
    executor& there = *at_;
    const bool asked = asked_to_end_;
    lock.unlock();
    if (!there.refuses_work())
        arrived(there, asked);
    else if (refused_by(there))
        settle(errc::executor_ended);
}

void remote_work::ask_to_end() noexcept {
    const std::lock_guard lock(mutex_);
    if (state_ == state::settled || std::exchange(asked_to_end_, true)) return;
    if (state_ != state::there) return; // it hears of it when it arrives
    request_posted_ = true;
    at_->post(static_cast<posted_work&>(request_));
}

void remote_work::request_arrived() noexcept {
    {
        const std::lock_guard lock(mutex_);
        request_posted_ = false;
    }
    asked_to_end_there();
}

// Or it would be run when this is gone.
void remote_work::take_request_back() noexcept {
    if (std::exchange(request_posted_, false)) at_->withdraw(request_);
}

void remote_work::settle(fault refused) noexcept {
    const std::lock_guard lock(mutex_);
    assert(state_ == state::there);
    take_request_back();
    if (ending_) { // nobody waits for it but the errand
        state_ = state::idle;
        return;
    }
    refused_ = refused;
    state_ = state::settled;
    home_->post(static_cast<posted_work&>(*this));
}

void remote_work::wait_for_end() noexcept {
    std::unique_lock lock(mutex_);
    ending_ = true;
    if (state_ == state::settled) {
        state_ = state::idle;
        home_->withdraw(*this);
    } else {
        executor& there = *at_;
        lock.unlock();
        last_errand asked(*this);
        asked.send_and_wait(there);
    }
    assert(state_ == state::idle);
    std::exchange(home_, nullptr)->post_arrived();
}

bool remote_work::end_there(errand& asked_by, errand::stack below) noexcept {
    std::unique_lock lock(mutex_);
    take_request_back();
    const state found = std::exchange(state_, state::idle);
    if (found == state::travelling) at_->withdraw(*this);
    if (found == state::there) state_ = state::there;
    lock.unlock();
    if (found == state::there) {
        if (!destroy_there(below)) return false;
        state_ = state::idle;
    } else if (found == state::travelling) {
        destroy_on_its_way();
    } // else it has settled meanwhile
    asked_by.finish();
    return true;
}

} // namespace chainring
