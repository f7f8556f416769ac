#include <chainring/runtime/ring.hpp>

#include <cerrno>
#include <chrono>
#include <system_error>

namespace chainring {

ring::ring(kernel& behind, const ring_options& options)
    : kernel_(behind) {
    const int returned = kernel_.open_ring(queues_, options);
    if (returned < 0) throw std::system_error(from_errno(-returned), kernel_.explain_open_failure(-returned));
}

ring::~ring() {
    kernel_.close_ring(queues_);
}

void ring::enable() {
    const int returned = kernel_.enable_ring(queues_);
    if (returned < 0) throw std::system_error(from_errno(-returned), "enabling the ring");
    enter_flags_ = static_cast<unsigned>(returned);
}

void ring::enter(bool wait, const duration* timeout, statistics& counters) noexcept {
    __kernel_timespec limit{};
    if (timeout != nullptr) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
        limit.tv_sec = seconds.count();
        limit.tv_nsec = (*timeout - seconds).count();
    }
    io_uring_smp_store_release(queues_.sq.ktail, queues_.sq.sqe_tail);
    queues_.sq.sqe_head = queues_.sq.sqe_tail;
    const unsigned to_submit = unsubmitted();
    const int returned = kernel_.enter(
        queues_, to_submit, wait ? 1 : 0, wait && timeout != nullptr ? &limit : nullptr, enter_flags_);
    ++counters.enters;
    counters.sqes += to_submit - unsubmitted();
    if (*queues_.cq.koverflow != 0 && (*queues_.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0)
        ++counters.cq_overflows;
    if (returned < 0 && returned != -ETIME) ++counters.submit_retries;
}

} // namespace chainring
