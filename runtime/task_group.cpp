#include <chainring/runtime/log.hpp>
#include <chainring/runtime/remote_spawner.hpp>
#include <chainring/runtime/task_group.hpp>

#include <spdlog/spdlog.h>

namespace chainring {

namespace {

using child_promise = task_promise<void>;

child_promise& child_of(promise_base& promise) noexcept {
    return static_cast<child_promise&>(promise);
}

std::coroutine_handle<child_promise> frame_of(promise_base& promise) noexcept {
    return std::coroutine_handle<child_promise>::from_promise(child_of(promise));
}

task<> watched(task_group& group, task<result<void>> child) {
    const result<void> ended = co_await std::move(child);
    if (!ended) group.failed({.error = ended.error(), .exception = {}});
}

std::string text_of(const task_failure& failure) {
    if (!failure.exception) return failure.error.message();
    try {
        std::rethrow_exception(failure.exception);
    } catch (const std::exception& thrown) {
        return thrown.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

} // namespace

task_group::~task_group() {
    while (!remotes_.empty()) remotes_.pop_front().group_ended();
    // A frame that is destroyed may destroy a group of its own, never this one's children: they are siblings. But it may
    // spawn one more.
    while (!starting_.empty() || !running_.empty())
        frame_of(starting_.empty() ? running_.pop_front() : starting_.pop_front()).destroy();
    while (!waiting_for_place_.empty()) waiting_for_place_.pop_front().group_ended();
}

void task_group::spawn(task<> child) {
    starting_.push_back(child.release().promise());
    ++children_;
    if (!nursery_.linked()) ready_queue_of(scope_.home()).push(nursery_);
}

void task_group::spawn(task<result<void>> child) {
    spawn(watched(*this, std::move(child)));
}

spawn_operation task_group::spawn_bounded(task<> child) noexcept {
    return {*this, std::move(child)};
}

spawn_operation task_group::spawn_bounded(task<result<void>> child) {
    return {*this, watched(*this, std::move(child))};
}

// Of this group; or of what took new work in, by a shutdown, which lets the others finish.
bool task_group::is_cancellation(const task_failure& failure) const noexcept {
    return failure.error == errc::cancelled && (scope_.cancelled() || scope_.home().shutting_down());
}

void task_group::failed(task_failure failure) noexcept {
    if (is_cancellation(failure)) {
        cut_short_ = cut_short_ || scope_.cancelled();
        return;
    }
    switch (options_.on_failure) {
    case failure_policy::cancel_siblings:
        if (failures_.empty()) failures_.push_back(std::move(failure));
        scope_.cancel();
        if (spawner_ != nullptr) spawner_->cancel();
        return;
    case failure_policy::collect: failures_.push_back(std::move(failure)); return;
    case failure_policy::ignore: log().warn("a task failed: {}", text_of(failure)); return;
    }
}

void task_group::cancel_from_elsewhere() noexcept {
    cancelled_from_elsewhere_ = true;
    scope_.cancel();
    if (spawner_ != nullptr) spawner_->cancel();
}

void task_group::spawner_failed(task_failure failure) noexcept {
    if (is_cancellation(failure)) return;
    failures_.push_back(std::move(failure));
    scope_.cancel();
}

std::error_code task_group::take_error() noexcept {
    if (failures_.empty() || failures_.front().exception) return {};
    return take_failures().front().error;
}

void task_group::throw_exception() {
    if (options_.on_failure == failure_policy::collect) return;
    if (failures_.empty() || !failures_.front().exception) return;
    std::rethrow_exception(take_failures().front().exception);
}

void task_group::throw_failure() {
    if (failures_.empty()) return;
    const task_failure first = std::move(take_failures().front());
    if (first.exception) std::rethrow_exception(first.exception);
    throw std::system_error(first.error);
}

void task_group::describe(task_tree& to) const {
    if (!to.first_time(this)) return; // both a body that joins and its scope have it to show
    to.below([&] {
        running_.for_each([&](const promise_base& each) { to.coroutine(each.site(), each.scope()); });
        starting_.for_each([&](const promise_base&) { to.not_started(); });
    });
}

void task_group::join_awaiter::describe(task_tree& to) const {
    to.waits(
        group_.children_ != 0 ? "the end of " + std::to_string(group_.size()) + " children"
                              : "the last handle for other threads");
    group_.describe(to);
}

void task_group::start_one() noexcept {
    promise_base& started = starting_.pop_front();
    running_.push_back(started);
    // One at a time, so that the executor's budget counts them.
    if (!starting_.empty()) ready_queue_of(scope_.home()).push(nursery_);
    if (started.start(scope_, frame_of(started)))
        end(child_of(started));
    else
        started.wait_for_end(nursery_);
}

void task_group::end(task_promise<void>& ended) noexcept {
    if (std::exception_ptr exception = ended.exception()) [[unlikely]]
        failed({.error = {}, .exception = std::move(exception)});
    running_.remove(ended);
    frame_of(ended).destroy();
    --children_;
    if (!waiting_for_place_.empty() && has_place()) [[unlikely]]
        waiting_for_place_.pop_front().admit();
    one_less();
}

void task_group::one_less() noexcept {
    if (!joined()) return;
    while (!joining_.empty()) ready_queue_of(scope_.home()).push_next(joining_.pop_front());
}

bool spawn_operation::start(executor&) noexcept {
    if (!group_.has_place() || !group_.waiting_for_place_.empty()) {
        group_.waiting_for_place_.push_back(*this);
        return true;
    }
    group_.spawn(std::move(child_));
    return false;
}

void spawn_operation::describe(task_tree& to) const {
    to.waits("a place among " + std::to_string(group_.size()) + " children");
}

void spawn_operation::admit() noexcept {
    group_.spawn(std::move(child_));
    group_.scope().home().ready().push(*this);
}

void spawn_operation::group_ended() noexcept {
    error_ = errc::cancelled;
    group_.scope().home().ready().push(*this);
}

void spawn_operation::cancel() noexcept {
    list_node<admission_tag>::unlink();
    error_ = errc::cancelled;
    group_.scope().home().ready().push(*this);
}

} // namespace chainring
