// LPUSH, RPUSH and LRANGE.
#include "commands.hpp"
#include "integers.hpp"

#include <algorithm>
#include <string>

namespace redis {

namespace {

enum class list_end : bool { front, back };

void push(shard& on, arguments given, replies& to, list_end where) {
    store::item* const found = on.keys.find(given[1]);
    store::list* list = found != nullptr ? found->as_list() : nullptr;
    if (found != nullptr && list == nullptr) return to.error(wrong_type);
    if (list == nullptr) list = &on.keys.find_or_make(given[1]).make_list();
    for (const std::string_view each : given.subspan(2)) {
        if (where == list_end::front)
            list->emplace_front(each);
        else
            list->emplace_back(each);
    }
    to.integer(static_cast<long long>(list->size()));
}

} // namespace

void run_lpush(shard& on, arguments given, replies& to) {
    push(on, given, to, list_end::front);
}

void run_rpush(shard& on, arguments given, replies& to) {
    push(on, given, to, list_end::back);
}

void run_lrange(shard& on, arguments given, replies& to) {
    auto first = parse_integer(given[2]);
    auto last = parse_integer(given[3]);
    if (!first || !last) return to.error(no_integer);
    store::item* const found = on.keys.find(given[1]);
    if (found == nullptr) return to.array(0);
    const store::list* const list = found->as_list();
    if (list == nullptr) return to.error(wrong_type);
    // Negative places are counted from the end.
    const auto size = static_cast<long long>(list->size());
    if (*first < 0) *first = std::max(*first + size, 0LL);
    if (*last < 0) *last += size;
    *last = std::min(*last, size - 1);
    if (*first > *last) return to.array(0);
    to.array(static_cast<std::size_t>(*last - *first + 1));
    for (auto at = *first; at <= *last; ++at) to.bulk((*list)[static_cast<std::size_t>(at)]);
}

} // namespace redis
