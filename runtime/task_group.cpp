#include <chainring/runtime/task_group.hpp>

namespace chainring {

namespace {

using child_promise = task_promise<void>;

child_promise& child(promise_base& promise) noexcept {
    return static_cast<child_promise&>(promise);
}

std::coroutine_handle<child_promise> frame_of(promise_base& promise) noexcept {
    return std::coroutine_handle<child_promise>::from_promise(child(promise));
}

} // namespace

task_group::~task_group() {
    // A frame that is destroyed may destroy a group of its own, never this one's children: they are siblings.
    while (!starting_.empty()) frame_of(starting_.pop_front()).destroy();
    while (!running_.empty()) frame_of(running_.pop_front()).destroy();
}

void task_group::spawn(task<> child) {
    starting_.push_back(child.release().promise());
    ++children_;
    if (!nursery_.linked()) ready_queue_of(scope_.home()).push(nursery_);
}

void task_group::fail(std::exception_ptr exception) noexcept {
    if (!exception_) exception_ = std::move(exception);
    scope_.cancel();
    if (spawner_ != nullptr) spawner_->cancel();
}

void task_group::start_one() noexcept {
    promise_base& started = starting_.pop_front();
    running_.push_back(started);
    // One at a time, so that the executor's budget counts them.
    if (!starting_.empty()) ready_queue_of(scope_.home()).push(nursery_);
    if (started.start(scope_, frame_of(started)))
        end(child(started));
    else
        started.wait_for_end(nursery_);
}

void task_group::end(task_promise<void>& ended) noexcept {
    if (std::exception_ptr exception = ended.exception()) fail(std::move(exception));
    running_.remove(ended);
    frame_of(ended).destroy();
    --children_;
    if (children_ == 0 && joining_ != nullptr)
        ready_queue_of(scope_.home()).push_next(*std::exchange(joining_, nullptr));
}

} // namespace chainring
