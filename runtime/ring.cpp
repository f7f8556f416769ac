#include <chainring/runtime/ring.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace chainring {

using namespace std::chrono_literals;

namespace {

// The SQEs stay pending, and the next enter repeats them.
bool to_be_repeated(int error) noexcept {
    return error == EAGAIN || error == EBUSY || error == EINTR || error == ENOMEM;
}

// Nothing that was submitted can be waited for any more, and the kernel may still write to its memory.
[[noreturn]] void give_up(int error) noexcept {
    std::fprintf(stderr, "chainring: io_uring_enter failed for good: %s\n", std::strerror(error));
    std::abort();
}

} // namespace

ring::ring(kernel& behind, const ring_options& options)
    : kernel_(behind) {
    // A chain behind a poll takes two at once.
    ring_options usable = options;
    usable.submission_entries = std::max(usable.submission_entries, 2U);
    // In the other mode each completion wakes the sleeper, and from Linux 6.12 to 6.17 those of worker threads may not.
    if (options.mode == task_work_mode::throughput && options.gather.at_most > 0s)
        gather_ = {
            .completions = std::min(options.gather.completions, options.completion_entries / 2),
            .at_most = std::min<std::chrono::microseconds>(options.gather.at_most, 1s)};
    const int returned = kernel_.open_ring(queues_, usable);
    if (returned < 0) refused(returned);
}

void ring::refused(int returned) {
    throw std::system_error(from_errno(-returned), kernel_.explain_refusal(-returned));
}

ring::~ring() {
    kernel_.close_ring(queues_);
}

void ring::enable() {
    const int returned = kernel_.enable_ring(queues_);
    if (returned < 0) refused(returned);
    enter_flags_ = static_cast<unsigned>(returned);
    // A filter may allow io_uring_setup and forbid this call; later it could only be fatal.
    const int entered = kernel_.enter(queues_, 0, {}, enter_flags_);
    if (entered < 0 && !to_be_repeated(-entered)) {
        leave();
        refused(entered);
    }
}

void ring::enter(waiting wait, const duration* timeout, statistics& counters) noexcept {
    __kernel_timespec limit{};
    if (timeout != nullptr) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
        limit.tv_sec = seconds.count();
        limit.tv_nsec = (*timeout - seconds).count();
    }
    io_uring_smp_store_release(queues_.sq.ktail, queues_.sq.sqe_tail);
    queues_.sq.sqe_head = queues_.sq.sqe_tail;
    const unsigned to_submit = unsubmitted();
    enter_wait until;
    if (wait != waiting::none) until = {.completions = 1, .timeout = timeout != nullptr ? &limit : nullptr};
    if (wait == waiting::for_several && busy_ && (timeout == nullptr || *timeout > gather_.at_most)) {
        until.completions = gather_.completions;
        until.for_all = gather_.at_most;
    }
    ++counters.enters;
    const int returned = kernel_.enter(queues_, to_submit, until, enter_flags_);
    const unsigned submitted = returned > 0 ? static_cast<unsigned>(returned) : 0;
    counters.sqes += submitted;
    if (wait == waiting::for_several && gather_.completions > 1)
        busy_ = io_uring_cq_ready(&queues_) > submitted + 1;
    if (returned >= 0 || returned == -ETIME) return;
    if (!to_be_repeated(-returned)) give_up(-returned);
    ++counters.submit_retries;
}

} // namespace chainring
