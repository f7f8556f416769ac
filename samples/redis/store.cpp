#include "store.hpp"

#include <chrono>

namespace redis {

unix_milliseconds now_by_the_system() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

store::item* store::find(std::string_view key) {
    const auto found = items_.find(key);
    if (found == items_.end()) return nullptr;
    // Only what has an end costs a look at the clock.
    if (found->second.has_end() && found->second.end() <= now()) {
        erase(found);
        return nullptr;
    }
    return &found->second;
}

store::item& store::find_or_make(std::string_view key) {
    if (item* const found = find(key)) return *found;
    const auto made = items_.try_emplace(std::string(key)).first;
    made->second.key_ = &made->first;
    return made->second;
}

bool store::erase(std::string_view key) {
    if (find(key) == nullptr) return false;
    erase(items_.find(key));
    return true;
}

void store::erase(map::iterator at) {
    remove_end(at->second);
    items_.erase(at);
}

void store::clear() {
    ends_.clear();
    map().swap(items_); // with its memory
}

void store::set_end(item& of, unix_milliseconds end) {
    remove_end(of);
    ends_.emplace(end, of.key_);
    of.end_ = end;
}

void store::remove_end(item& of) {
    if (!of.has_end()) return;
    ends_.erase({of.end_, of.key_});
    of.end_ = never;
}

std::size_t store::remove_ended(std::size_t at_most) {
    if (ends_.empty()) return 0;
    const unix_milliseconds by = now();
    std::size_t removed = 0;
    while (removed < at_most && !ends_.empty() && ends_.begin()->first <= by) {
        erase(items_.find(*ends_.begin()->second));
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
