#include <chainring/runtime/executor.hpp>
#include <chainring/sim/numbered_waits.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <utility>

namespace chainring::sim {

namespace {

// A walk takes as long as there is much that waits: of more than this, it is not made after each resumption.
constexpr std::size_t waits_of_a_short_walk = 256;

} // namespace

void numbered_waits::before(const waiter& next) noexcept {
    resumption told;
    if (next.site() != nullptr) told.where = next.site()->where();
    told.wait = take_number_of(next);
    world_.resumes(told);
}

void numbered_waits::after() noexcept {
    if (++not_walked_for_ <= (waiting_.size() + ready_.size()) / waits_of_a_short_walk) return;
    not_walked_for_ = 0;
    walk();
}

std::uint64_t numbered_waits::take_number_of(const waiter& next) noexcept {
    for (std::vector<wait>* const among : {&ready_, &waiting_}) {
        const auto found = std::ranges::find(*among, &next, &wait::at);
        if (found == among->end()) continue;
        found->at = nullptr;
        return found->number;
    }
    return 0;
}

void numbered_waits::walk() {
    before_.swap(waiting_);
    waiting_.clear();
    std::size_t expected = 0;
    const auto number = [&](const waiter& each, const cancel_scope&) {
        waiting_.push_back(numbered(each, expected));
    };
    home_.root_scope().for_each_waiter(number, scopes_);
    ready_.insert(ready_.end(), before_.begin() + static_cast<std::ptrdiff_t>(expected), before_.end());
    forget_what_was_destroyed();
}

// What goes on waiting keeps its place among the others. What is not there any more has become ready or was destroyed.
numbered_waits::wait numbered_waits::numbered(const waiter& found, std::size_t& expected) {
    const auto from = before_.begin() + static_cast<std::ptrdiff_t>(expected);
    const auto known = std::ranges::find(from, before_.end(), &found, &wait::at);
    if (known == before_.end()) return {&found, ++begun_};
    ready_.insert(ready_.end(), from, known);
    expected = static_cast<std::size_t>(known - before_.begin()) + 1;
    return *known;
}

// The next wait at the same address is another one.
void numbered_waits::forget_what_was_destroyed() {
    std::erase_if(ready_, [this](const wait& each) {
        bool is_ready = false;
        if (each.at != nullptr) home_.ready().for_each([&](const waiter& in) { is_ready |= &in == each.at; });
        return !is_ready;
    });
}

} // namespace chainring::sim
