// What is done to keys whatever their values are: DEL, EXISTS, EXPIRE, TTL, DBSIZE and FLUSHALL.
#include "commands.hpp"
#include "expiry.hpp"
#include "integers.hpp"

#include <limits>
#include <string>

namespace redis {

namespace {

struct expire_conditions {
    bool absent = false;  // NX: only if there is no end
    bool present = false; // XX: only if there is one
    bool later = false;   // GT: only if that is later; none is later than any
    bool earlier = false; // LT
};

// The line ends at an error's end Redis leaves out.
std::string shown_at_end(std::string_view word) {
    const std::string_view seen = word.substr(0, word.find('\0'));
    return shown(seen.substr(0, seen.find_last_not_of("\r\n") + 1), seen.size());
}

// False: they make no sense, or not together, and `to` says so.
bool parse_conditions(arguments words, expire_conditions& found, replies& to) {
    for (const std::string_view word : words) {
        if (is_word(word, "nx"))
            found.absent = true;
        else if (is_word(word, "xx"))
            found.present = true;
        else if (is_word(word, "gt"))
            found.later = true;
        else if (is_word(word, "lt"))
            found.earlier = true;
        else
            return to.error("ERR Unsupported option " + shown_at_end(word)), false;
    }
    if (found.absent && (found.present || found.later || found.earlier))
        return to.error("ERR NX and XX, GT or LT options at the same time are not compatible"), false;
    if (found.later && found.earlier)
        return to.error("ERR GT and LT options at the same time are not compatible"), false;
    return true;
}

bool holds(const expire_conditions& all, const store::item& of, unix_milliseconds end) {
    constexpr auto never = std::numeric_limits<unix_milliseconds>::max();
    const unix_milliseconds before = of.has_end() ? of.end() : never;
    return !(all.absent && of.has_end()) && !(all.present && !of.has_end()) &&
           !(all.later && end <= before) && !(all.earlier && end >= before);
}

} // namespace

void run_del(shard& on, arguments given, replies& to) {
    long long count = 0;
    for (const std::string_view key : given.subspan(1)) count += on.keys.erase(key) ? 1 : 0;
    to.integer(count);
}

void run_exists(shard& on, arguments given, replies& to) {
    long long count = 0;
    for (const std::string_view key : given.subspan(1)) count += on.keys.find(key) != nullptr ? 1 : 0;
    to.integer(count);
}

void run_expire(shard& on, arguments given, replies& to) {
    expire_conditions conditions;
    if (!parse_conditions(given.subspan(3), conditions, to)) return;
    const auto seconds = parse_integer(given[2]);
    if (!seconds) return to.error(no_integer);
    const auto end = any_end_of(*seconds, "expire", on.keys, to);
    if (!end) return;
    store::item* const found = on.keys.find(given[1]);
    if (found == nullptr || !holds(conditions, *found, *end)) return to.integer(0);
    if (*end <= on.keys.now())
        on.keys.erase(given[1]);
    else
        on.keys.set_end(*found, *end);
    to.integer(1);
}

void run_ttl(shard& on, arguments given, replies& to) {
    const store::item* const found = on.keys.find(given[1]);
    if (found == nullptr) return to.integer(-2);
    if (!found->has_end()) return to.integer(-1);
    to.integer((found->end() - on.keys.now() + 500) / 1000);
}

void run_dbsize(shard& on, arguments, replies& to) {
    to.integer(static_cast<long long>(on.keys.size()));
}

void run_flushall(shard& on, arguments given, replies& to) {
    const bool understood =
        given.size() == 1 || (given.size() == 2 && (is_word(given[1], "sync") || is_word(given[1], "async")));
    if (!understood) return to.error(syntax_error);
    on.keys.clear();
    to.ok();
}

} // namespace redis
