#include <chainring/sim/simulated_ring.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

namespace chainring::sim {

simulated_ring::simulated_ring(
    network& over, descriptor_table& files, io_uring& shown, const ring_options& options)
    : world_(over.within())
    , network_(over)
    , files_(files)
    , submissions_(std::bit_ceil(std::max(options.submission_entries, 1U)))
    , completions_(std::bit_ceil(std::max(options.completion_entries, 2U))) {
    shown = {};
    shown.ring_fd = -1;
    shown.enter_ring_fd = -1;
    shown.sq.khead = &counters_.sq_head;
    shown.sq.ktail = &counters_.sq_tail;
    shown.sq.kflags = &counters_.sq_flags;
    shown.sq.kdropped = &counters_.sq_dropped;
    shown.sq.sqes = submissions_.data();
    shown.sq.ring_entries = static_cast<unsigned>(submissions_.size());
    shown.sq.ring_mask = shown.sq.ring_entries - 1;
    shown.cq.khead = &counters_.cq_head;
    shown.cq.ktail = &counters_.cq_tail;
    shown.cq.kflags = &counters_.cq_flags;
    shown.cq.koverflow = &counters_.cq_overflow;
    shown.cq.cqes = completions_.data();
    shown.cq.ring_entries = static_cast<unsigned>(completions_.size());
    shown.cq.ring_mask = shown.cq.ring_entries - 1;
}

void simulated_ring::post(std::uint64_t user_data, int result, unsigned flags) {
    const io_uring_cqe cqe{.user_data = user_data, .res = result, .flags = flags};
    world_.completed(cqe);
    signal();
    if (full() || !overflow_.empty()) { // kept, as by a kernel with IORING_FEAT_NODROP
        overflow_.push_back(cqe);
        ++counters_.cq_overflow;
        counters_.sq_flags |= IORING_SQ_CQ_OVERFLOW;
        return;
    }
    io_uring_cqe& place = completions_[counters_.cq_tail++ & (completions_.size() - 1)];
    place.user_data = user_data;
    place.res = result;
    place.flags = flags;
}

void simulated_ring::flush_overflow() {
    std::size_t flushed = 0;
    for (; flushed < overflow_.size() && !full(); ++flushed) {
        const io_uring_cqe& kept = overflow_[flushed];
        io_uring_cqe& place = completions_[counters_.cq_tail++ & (completions_.size() - 1)];
        place.user_data = kept.user_data;
        place.res = kept.res;
        place.flags = kept.flags;
    }
    overflow_.erase(overflow_.begin(), overflow_.begin() + static_cast<std::ptrdiff_t>(flushed));
    if (overflow_.empty()) counters_.sq_flags &= ~static_cast<unsigned>(IORING_SQ_CQ_OVERFLOW);
}

int simulated_ring::register_buffer_ring(const io_uring_buf_reg& registration) {
    auto* const memory = reinterpret_cast<io_uring_buf_ring*>(registration.ring_addr);
    const buffer_ring added{memory, registration.ring_entries, memory->tail};
    return buffers_.try_emplace(registration.bgid, added).second ? 0 : -EEXIST;
}

int simulated_ring::unregister_buffer_ring(unsigned group) {
    return buffers_.erase(group) == 1 ? 0 : -ENOENT;
}

int simulated_ring::register_direct_table(unsigned places) {
    if (!direct_.empty()) return -EBUSY;
    direct_.resize(places);
    return 0;
}

int simulated_ring::register_event(std::shared_ptr<event_file> event) {
    if (event_ != nullptr) return -EBUSY;
    event_ = std::move(event);
    return 0;
}

void simulated_ring::end_all() {
    closed_.clear();
    for (auto& each : direct_) each.reset();
    while (!parked_.empty()) {
        const std::unique_ptr<request> ended = std::move(parked_.back());
        parked_.pop_back();
        if (ended->notifies != nullptr)
            post(ended->sqe.user_data, 0, IORING_CQE_F_NOTIF);
        else
            end(*ended, -ECANCELED);
    }
}

int simulated_ring::enter(unsigned to_submit, const enter_wait& wait) {
    world_.entered();
    files_.entered();
    let_clock_jump();
    if (to_submit != 0 && world_.chance(world_.knobs().refused, "enter refused"))
        return world_.choose(2, "again or busy") == 0 ? -EAGAIN : -EBUSY;
    flush_overflow();
    if (to_submit != 0) complete_in_passing(); // before anything is submitted
    const unsigned takes = how_many_to_take(to_submit);
    submit(takes);
    const int returned = takes < to_submit ? static_cast<int>(takes) : run(takes, wait);
    closed_.clear();
    return returned;
}

int simulated_ring::run(unsigned takes, const enter_wait& wait) {
    const int taken = static_cast<int>(takes);
    const __kernel_timespec* const timeout = wait.timeout;
    const time_point end = timeout == nullptr ? time_point::max()
                                              : world_.now() + std::chrono::seconds(timeout->tv_sec) +
                                                    std::chrono::nanoseconds(timeout->tv_nsec);
    const time_point end_for_all = world_.now() + wait.for_all;
    for (;;) {
        const bool for_all = world_.now() < end_for_all;
        const bool enough = completions() >= (for_all ? wait.completions : std::min(wait.completions, 1U));
        if (enough && world_.chance(world_.knobs().hold_back, "held back")) return taken;
        if (!enough && world_.chance(world_.knobs().interrupted, "wait interrupted"))
            return taken != 0 ? taken : -EINTR;
        const bool time_first =
            !enough && timeout != nullptr && world_.chance(world_.knobs().silence, "silence");
        if (!time_first && step()) continue;
        if (enough) return taken;
        const time_point arrival = time_first ? time_point::max() : network_.next_arrival();
        const bool ends_with_for_all = for_all && (completions() != 0 || timeout == nullptr);
        const time_point next = ends_with_for_all ? end_for_all : end;
        if (arrival < next) {
            world_.pass(arrival - world_.now());
            continue;
        }
        if (timeout == nullptr && !ends_with_for_all) report_deadlock();
        sleep_until(next);
        if (completions() != 0) continue;
        return taken != 0 ? taken : -ETIME;
    }
}

void simulated_ring::submit(unsigned count) {
    std::unique_ptr<request> head;
    for (; count != 0; --count) {
        auto taken = std::make_unique<request>(submissions_[counters_.sq_head++ & (submissions_.size() - 1)]);
        if (const std::string refused = prepare(*taken); !refused.empty()) world_.fail(refused);
        const bool goes_on = taken->goes_on();
        if (head == nullptr)
            head = std::move(taken);
        else
            head->next.push_back(std::move(taken));
        if (!goes_on) start(std::exchange(head, nullptr));
    }
    if (head == nullptr) return;
    // A chain ends with the submission. Linux hands it to a worker thread, and what is submitted next overtakes it.
    if (cut_chains_forbidden_) world_.fail("a submission ends in the middle of a chain: " + to_string(*head));
    start(std::move(head), by::worker);
}

std::shared_ptr<file> simulated_ring::find(const io_uring_sqe& sqe) const {
    if ((sqe.flags & IOSQE_FIXED_FILE) == 0) return files_.find(sqe.fd);
    const auto place = static_cast<std::size_t>(sqe.fd);
    return place < direct_.size() ? direct_[place] : nullptr;
}

void simulated_ring::start(std::unique_ptr<request> begun, by whom) {
    const io_uring_sqe& sqe = begun->sqe;
    const bool needs_file =
        sqe.opcode != IORING_OP_NOP && sqe.opcode != IORING_OP_ASYNC_CANCEL && sqe.opcode != IORING_OP_CLOSE;
    if (needs_file) begun->target = find(sqe);
    if (needs_file && begun->target == nullptr) {
        if (sqe.opcode == IORING_OP_SEND_ZC)
            end_send(*begun, -EBADF);
        else
            end(*begun, -EBADF);
        return;
    }
    // A close and a cancel are always done at once.
    const bool may_be_put_off = needs_file || sqe.opcode == IORING_OP_NOP;
    begun->due = whom == by::worker || (may_be_put_off && world_.chance(world_.knobs().later, "done later"));
    if (begun->due || attempt_once(*begun) == attempt::parked) parked_.push_back(std::move(begun));
}

void simulated_ring::resume(std::size_t which) {
    std::unique_ptr<request> resumed = take_out(which);
    resumed->due = false;
    switch (std::exchange(resumed->queued, request::task_work::none)) {
    case request::task_work::begins: start(std::move(resumed)); return;
    case request::task_work::is_cancelled: end_by_cancel(*resumed, -ECANCELED); return;
    case request::task_work::ends_with_chain:
        post(resumed->sqe.user_data, -ECANCELED, 0);
        for (const auto& each : resumed->next) post(each->sqe.user_data, -ECANCELED, 0);
        return;
    case request::task_work::none: break;
    }
    if (attempt_once(*resumed) == attempt::parked) parked_.push_back(std::move(resumed));
}

std::vector<std::size_t> simulated_ring::ready_requests() {
    std::vector<std::size_t> ready;
    for (std::size_t at = 0; at < parked_.size(); ++at)
        if (is_ready(*parked_[at])) ready.push_back(at);
    return ready;
}

// One of all that could happen now. False: there is nothing.
bool simulated_ring::step() {
    const std::vector<std::size_t> ready = ready_requests();
    const std::size_t arrivals = network_.arrivals();
    const std::size_t all = ready.size() + arrivals + closed_.size();
    if (all == 0) return false;
    const std::size_t chosen = world_.choose(static_cast<std::uint32_t>(all), "what happens next");
    if (chosen < ready.size())
        resume(ready[chosen]);
    else if (chosen < ready.size() + arrivals)
        network_.arrive(chosen - ready.size());
    else
        closed_.erase(closed_.begin() + static_cast<std::ptrdiff_t>(chosen - ready.size() - arrivals));
    return true;
}

void simulated_ring::report_deadlock() const {
    std::string text = "deadlock: the executor sleeps without a timeout, and nothing can happen any more;";
    for (const auto& each : parked_) text += "\n    waiting: " + to_string(*each);
    world_.fail(text);
}

simulated_ring::attempt simulated_ring::end(request& ended, int result, unsigned flags, bool failed) {
    failed = failed || result < 0;
    const bool silent = ended.skips_success();
    if (!silent || failed) post(ended.sqe.user_data, result, flags);
    if (ended.next.empty()) return attempt::ended;
    const bool goes_on = !failed || ended.is_hard();
    if (!goes_on && silent) return attempt::ended; // it has spoken for the rest of its chain too
    // By task work, which comes after all that is being submitted.
    std::unique_ptr<request> next = std::move(ended.next.front());
    ended.next.pop_front();
    next->next = std::move(ended.next);
    next->queued = goes_on ? request::task_work::begins : request::task_work::ends_with_chain;
    parked_.push_back(std::move(next));
    return attempt::ended;
}

} // namespace chainring::sim
