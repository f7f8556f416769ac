// What an executor says about itself: counters, invariants, what is held and what is waited for.
#include <chainring/runtime/executor.hpp>

#include <algorithm>
#include <iterator>
#include <sstream>

namespace chainring {

namespace {

std::string in_words(const slot& shown) {
    return operation_name(shown.opcode) + " on descriptor " + std::to_string(shown.descriptor);
}

} // namespace

std::vector<std::string> executor::broken_invariants() {
    holdings held;
    held.unsubmitted_sqes = ring_.unsubmitted();
    held.operations = slots_.in_flight();
    held.cancels = cancels_.in_flight();
    held.descriptors = disposal_.descriptors();
    std::uint32_t blocks = 0;
    for_each_pool([&](const buffer_pool& each) {
        held.blocks += each.leased() + each.provided() + each.free();
        blocks += each.blocks();
    });
    resources_.for_each([&held](const resource& each) { each.count(held); });
    statistics counted = counters_; // not `stats`: counting the live frames takes too long for each turn
    counted.second_resumptions = waiter::second_resumptions();
    std::vector<std::string> broken = chainring::broken_invariants(counted, held, blocks);
    resources_.for_each([&](const resource& each) {
        if (!each.consistent())
            broken.push_back(
                "bytes given to send are sent, failed or queued: not those of " + each.describe(now()));
    });
    counters_.broken_invariants += broken.size();
    return broken;
}

std::vector<std::string> executor::holdings_report() const {
    std::vector<std::string> lines;
    const time_point now = kernel_.now();
    slots_.for_each_in_flight([&](operation_id id, const slot& shown) {
        if (wake_up_.is(id)) return;
        lines.push_back(in_words(shown) + ", in flight " + for_time(now - shown.since));
    });
    resources_.for_each([&](const resource& each) { lines.push_back(each.describe(now)); });
    if (posts_expected_ != 0) lines.push_back(std::to_string(posts_expected_) + " pieces of work elsewhere");
    for_each_pool([&](const buffer_pool& each) {
        std::ranges::move(each.describe_leases(now), std::back_inserter(lines));
    });
    std::size_t tasks = 0;
    roots_.for_each([&tasks](const root_task&) { ++tasks; });
    if (tasks != 0) lines.push_back(std::to_string(tasks) + " tasks that have not ended");
    std::ostringstream text;
    task_tree tree(text, now, ready_);
    root_scope_.for_each_waiter([&](const waiter& each, const cancel_scope& scope) {
        if (each.site() == nullptr) return; // of no coroutine
        text.str({});
        tree.coroutine(*each.site(), scope);
        lines.push_back(text.str());
        lines.back().pop_back(); // the line's end
    });
    return lines;
}

std::string executor::describe(operation_id id) noexcept {
    const slot* const found = slots_.find(id);
    return found != nullptr ? in_words(*found) : "an operation that has ended";
}

void executor::dump(std::ostream& to) const {
    task_tree tree(to, kernel_.now(), ready_);
    roots_.for_each(
        [&](const root_task& each) { tree.coroutine(each.promise().site(), each.promise().scope()); });
}

statistics executor::stats() const noexcept {
    statistics snapshot = counters_;
    snapshot.operations_in_flight = slots_.in_flight();
    if (wake_up_.armed()) --snapshot.operations_in_flight;
    for_each_pool([&snapshot](const buffer_pool& each) { snapshot.buffers_leased += each.leased(); });
    snapshot.second_resumptions = waiter::second_resumptions();
    snapshot.live_tasks = static_cast<std::uint32_t>(std::max<std::int64_t>(frame_pool::live(), 0));
    return snapshot;
}

} // namespace chainring
