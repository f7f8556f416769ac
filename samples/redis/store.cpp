#include "store.hpp"

#include <chrono>

namespace redis {

unix_milliseconds now_by_the_system() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

store::store(std::function<unix_milliseconds()> clock)
    : clock_(std::move(clock)) {}

store::item* store::find(std::string_view key) {
    item* const found = items_.find(key);
    if (found == nullptr) return nullptr;
    // Only what has an end costs a look at the clock.
    if (found->has_end() && found->end() <= now()) {
        erase(*found);
        return nullptr;
    }
    return found;
}

store::item& store::find_or_make(std::string_view key) {
    if (item* const found = find(key)) return *found;
    return items_.add(key);
}

bool store::erase(std::string_view key) {
    item* const found = find(key);
    if (found != nullptr) erase(*found);
    return found != nullptr;
}

void store::erase(item& erased) {
    remove_end(erased);
    items_.erase(static_cast<table::entry&>(erased)); // all items are
}

void store::clear() {
    ends_.clear();
    items_.clear();
}

void store::set_end(item& of, unix_milliseconds end) {
    remove_end(of);
    ends_.emplace(end, &of);
    of.end_ = end;
}

void store::remove_end(item& of) {
    if (!of.has_end()) return;
    ends_.erase({of.end_, &of});
    of.end_ = never;
}

std::size_t store::remove_ended(std::size_t at_most) {
    if (ends_.empty()) return 0;
    const unix_milliseconds by = now();
    std::size_t removed = 0;
    while (removed < at_most && !ends_.empty() && ends_.begin()->first <= by) {
        erase(*ends_.begin()->second);
        ++removed;
    }
    return removed;
}

void store::item::assign(std::string_view bytes) {
    constexpr std::size_t worth_giving_back = 1024;
    text* const before = as_text();
    if (before == nullptr)
        value_.emplace<text>(bytes);
    else if (before->capacity() > worth_giving_back && before->capacity() / 4 > bytes.size())
        text(bytes).swap(*before); // assigned, even moved, a short one would keep the memory of the long one
    else
        before->assign(bytes);
}

} // namespace redis
