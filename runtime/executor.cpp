#include <chainring/runtime/embedding.hpp>
#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/graceful_shutdown.hpp>
#include <chainring/runtime/log.hpp>

#include <spdlog/logger.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace chainring {

constinit thread_local executor* executor::current_ = nullptr;

executor::executor(const executor_options& options, kernel& behind)
    : kernel_(behind)
    , ring_(behind, options.ring)
    , inbox_(behind)
    , buffers_(buffer_pool::open(behind, ring_, options.buffers, inbox_))
    , timers_(behind.now())
    , direct_table_(options.direct_descriptors)
    , root_scope_(*this)
    , budget_(std::max(options.budget, 1U))
    , watch_(behind.watch_resumptions(*this)) {
    if (watch_ != nullptr) ready_.watch(*watch_, std::exchange(budget_, 0));
    if (direct_table_.places() == 0) return;
    const int returned = behind.register_direct_table(ring_.native(), direct_table_.places());
    if (returned < 0) {
        buffers_->close();
        ring_.refused(returned);
    }
}

executor& this_executor() {
    if (executor* const here = executor::current()) return *here;
    throw std::logic_error("there is no executor here: neither a task nor a posted function asks for it");
}

executor::~executor() {
    if (!ended_) end();
}

void executor::end() noexcept {
    ended_ = true;
    refuses_work_ = true;
    if (forked()) { // of its memory, too, the kernel may use what it has got in the parent
        if (embedding_ != nullptr) embedding_->abandon();
        return;
    }
    if (embedding_ != nullptr) embedding_->stop();
    // A ring that is closed does not wait for its requests, so all of them must have ended before.
    if (enabled_) {
        const on_its_thread here(*this);
        for (const std::string& held : holdings_report()) log().warn("still held at shutdown: {}", held);
        stop_dozing();
        end_roots();
        root_scope_.cancel();
        resources_.for_each([](resource& held) { held.abandon(); });
        turn_until([this] { return posts_expected_ == 0; }); // they need the inbox
        finish_closes();
        wake_up_.disarm();
        while (cancels_.in_flight() != 0) submit_and_reap(no_sleep);
        slots_.for_each_in_flight([](operation_id, const slot& left) { left.target->given_up(); });
    } else {
        end_roots();
        resources_.for_each([](resource& held) { held.abandon(); });
    }
    const std::vector<std::string> broken = broken_invariants();
    for (const std::string& sentence : broken) log().error("broken invariant: {}", sentence);
    assert(broken.empty());
    for (buffer_pool* const further : further_pools_) further->close();
    buffers_->close();
    if (enabled_ && is_on_this_thread()) ring_.leave();
}

buffer_pool& executor::open_pool(const buffer_options& options) {
    further_pools_.reserve(further_pools_.size() + 1);
    further_pools_.push_back(buffer_pool::open(kernel_, ring_, options, inbox_, buffer_pool::kind::further));
    return *further_pools_.back();
}

void executor::close_pool(buffer_pool& further) noexcept {
    std::erase(further_pools_, &further);
    further.close();
}

bool executor::remote_leases_ended() const noexcept {
    bool any = false;
    for_each_pool([&any](const buffer_pool& each) { any = any || each.remote_pending(); });
    return any;
}

void executor::take_ownership(const char* call) {
    if (forked()) throw std::logic_error(std::string(call) + ": " + fork_guard::text());
    if (current_ == this)
        throw std::logic_error(std::string(call) + " called from within the executor's own turn");
    if (!enabled_) {
        ring_.enable();
        enabled_ = true;
        owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    }
    if (!is_on_this_thread())
        throw std::logic_error(std::string(call) + " called on another thread than the executor's");
}

void executor::end_roots() noexcept {
    do {
        give_up_roots(nullptr);
        inbox_.run_all();
    } while (!roots_.empty());
}

void executor::end_overdue_roots() noexcept {
    if (gave_up_ && !roots_.empty()) [[unlikely]]
        give_up_roots(std::make_exception_ptr(shutdown_overdue()));
}

// Without those that are spawned because of an end.
void executor::give_up_roots(const std::exception_ptr& why) noexcept {
    inbox_.run_all(); // the poster of intrusive work waits for its `run`
    intrusive_list<root_task, root_tag> ending;
    ending.take_all(roots_);
    while (!ending.empty()) ending.pop_front().give_up(why);
}

void executor::run_until(const bool& done) {
    const on_its_thread here(*this);
    stop_dozing();
    turn_until([this, &done] { return done || gave_up_; });
    end_overdue_roots();
    if (!done) throw shutdown_overdue();
}

void executor::serve_until(const std::function<bool()>& done) {
    take_ownership("executor::serve_until");
    const on_its_thread here(*this);
    stop_dozing();
    while (!done()) {
        turn_until([this, &done] { return done() || (gave_up_ && !roots_.empty()); });
        if (gave_up_) end_roots();
    }
}

void executor::run_posts() noexcept {
    const on_its_thread here(*this);
    inbox_.run_all();
}

bool executor::run_last_posts() noexcept {
    if (inbox_.empty()) return false;
    const on_its_thread here(*this);
    end_roots();
    return true;
}

void executor::destroy_tasks() {
    take_ownership("executor::destroy_tasks");
    const on_its_thread here(*this);
    end_roots();
}

void executor::stop_intakes() noexcept {
    // What has arrived is handed out first. An enter brings so many completions at most.
    for (std::uint64_t before = counters_.cqes + 1; before != counters_.cqes;) {
        before = counters_.cqes;
        submit_and_reap(no_sleep);
    }
    shutting_down_ = true;
    while (!intakes_.empty()) intakes_.pop_front().stop();
}

void executor::give_up() noexcept {
    gave_up_ = true;
    resources_.for_each([](resource& held) { held.abandon(); });
}

void executor::finish_closes() {
    const on_its_thread here(*this);
    for (;;) {
        turn_until([this] { return counters_.pending_closes == 0 && turn_end_.empty(); });
        if (ring_.unsubmitted() == 0) return;
        // What the kernel refused so far is given to it without a sleep: it may complete never.
        submit_and_reap(no_sleep);
    }
}

template <class Done> void executor::turn_until(Done done) {
    for (bool posted = false; posted || !done();) {
        run_what_is_ready();
        posted = submit_and_reap(done() ? no_sleep : may_sleep);
    }
}

int executor::native_handle() {
    take_ownership("executor::native_handle");
    embed();
    return inbox_.event();
}

void executor::embed() {
    const on_its_thread here(*this);
    wake_up_.disarm(); // each of its completions would signal the event again
    if (embedded_) return;
    const int returned = kernel_.register_event(ring_.native(), inbox_.event());
    if (returned < 0) ring_.refused(returned);
    embedded_ = true;
    doze();
    kernel_.signal_event(inbox_.event()); // for what is there by now
}

void executor::attach(embedding& within) {
    if (embedding_ != nullptr) throw std::logic_error("the executor is driven by another loop already");
    embedding_ = &within;
}

void executor::doze() noexcept {
    dozing_ = true;
    inbox_.about_to_sleep();
    ring_.signal_completions(true);
}

void executor::stop_dozing() noexcept {
    if (!dozing_) return;
    dozing_ = false;
    inbox_.awake();
    ring_.signal_completions(false);
}

bool executor::pump(unsigned most_turns) {
    take_ownership("executor::pump");
    embed();
    const on_its_thread here(*this);
    if (dozing_) {
        ++counters_.pumps;
        kernel_.drain_event(inbox_.event());
        stop_dozing();
    }
    for (; most_turns != 0; --most_turns) {
        run_what_is_ready();
        end_overdue_roots();
        // What is submitted may complete at once, and would signal the event for nothing.
        const bool may_doze = nothing_to_do() && ring_.unsubmitted() == 0;
        if (may_doze) doze();
        const std::uint64_t reaped = counters_.cqes;
        submit_and_reap(no_sleep);
        if (!may_doze) continue;
        // What came before the doze has signalled nobody; and an enter brings so many completions at most.
        if (counters_.cqes == reaped && nothing_to_do() && inbox_.empty() && !remote_leases_ended())
            return false;
        stop_dozing();
    }
    return true;
}

std::optional<time_point> executor::next_deadline() const noexcept {
    time_point next;
    return timers_.next(next) ? std::optional(next) : std::nullopt;
}

void executor::run_what_is_ready() {
    ++counters_.turns;
    inbox_.run_all();
    for_each_pool([](buffer_pool& each) { each.collect_remote(); });
    timers_.advance(now());
    counters_.resumptions += ready_.run(budget_);
    for_each_pool([this](buffer_pool& each) {
        if (each.someone_starves()) [[unlikely]]
            each.feed_starved(counters_.resumptions + counters_.cqes);
    });
    while (!turn_end_.empty()) turn_end_.pop_front().at_turn_end();
}

void executor::enter(waiting wait, const duration* timeout) noexcept {
    if (forked()) [[unlikely]]
        fork_guard::end_child();
    ring_.enter(wait, timeout, counters_);
    knows_now_ = false;
    if (ring_.unsubmitted() == 0) until_submitted_.release_all();
}

bool executor::submit_and_reap(sleeping allowed) noexcept {
    const bool sleep = allowed == may_sleep && nothing_to_do() && prepare_to_sleep();
    time_point next;
    duration timeout{};
    const bool limited = sleep && timers_.next(next);
    if (limited) timeout = std::max(duration(next - kernel_.now()), duration::zero());
    enter(sleep ? waiting::for_several : waiting::none, limited ? &timeout : nullptr);
    bool posted = false;
    if (sleep) {
        inbox_.awake();
        posted = inbox_.run_all(); // whoever has woken us was first
        if (forked()) [[unlikely]] // by a posted function. The completions are the parent's
            fork_guard::end_child();
    }
    reap();
    return posted;
}

bool executor::prepare_to_sleep() noexcept {
    if (ring_.unsubmitted() == 0 && inbox_.comes_soon()) return false;
    const std::uint64_t reaped = counters_.cqes;
    wake_up_.arm();
    inbox_.about_to_sleep();
    // Taking the SQE may have reaped completions, the last that were waited for among them, and another thread may
    // have posted before it could see us asleep.
    if (counters_.cqes == reaped && nothing_to_do() && inbox_.empty() && !remote_leases_ended()) return true;
    inbox_.awake();
    return false;
}

bool executor::nothing_to_do() const noexcept {
    bool may_feed = false;
    for_each_pool([&may_feed](const buffer_pool& each) { may_feed = may_feed || each.may_feed(); });
    return ready_.empty() && turn_end_.empty() && !may_feed && !ring_.completions_ready();
}

void executor::reap() noexcept {
    ring_.reap(
        [this](const io_uring_cqe& cqe) {
            if ((cqe.user_data & operation_id::cancel_tag) != 0) [[unlikely]] {
                ++counters_.terminal_cqes;
                cancels_.answered(operation_id(cqe.user_data & ~operation_id::cancel_tag), cqe.res);
                return;
            }
            const operation_id id(cqe.user_data);
            slot* found = slots_.find(id);
            if (found == nullptr) [[unlikely]] {
                ++counters_.stale_cqes;
                return;
            }
            completion& target = *found->target;
            if (is_terminal(cqe)) {
                ++counters_.terminal_cqes;
                slots_.release(id, *found);
            }
            target.complete(cqe);
        },
        counters_);
}

void executor::submit_and_wait() noexcept {
    enter(waiting::for_one, nullptr);
    reap();
}

void executor::cancel_and_wait(operation_id id, unsigned members) noexcept {
    request_cancel(id, members);
    while (in_flight(id)) {
        submit_and_wait();
        if (cancels_.in_flight() == 0) request_cancel(id, members);
    }
}

int executor::install_descriptor(file_handle direct) noexcept {
    struct installing final : completion {
        bool done = false;
        int result = 0;
        void complete(const io_uring_cqe& cqe) noexcept override {
            result = cqe.res;
            done = true;
        }
    } installed;
    submit(
        installed, [direct](io_uring_sqe& sqe) { io_uring_prep_fixed_fd_install(&sqe, direct.number, 0); });
    while (!installed.done) submit_and_wait();
    return installed.result;
}

} // namespace chainring
