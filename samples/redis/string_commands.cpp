// GET, SET, INCR, MGET and MSET.
#include "commands.hpp"
#include "expiry.hpp"
#include "integers.hpp"

#include <limits>
#include <optional>
#include <string>

namespace redis {

namespace {

struct set_options {
    bool only_if_absent = false;
    bool only_if_present = false;
    bool keeps_end = false;
    bool gets = false;
    std::optional<end_option> end;
};

// Nothing: they make no sense, or not together.
std::optional<set_options> parse_set_options(arguments words) {
    set_options found;
    for (std::size_t at = 0; at < words.size(); ++at) {
        const std::string_view word = words[at];
        const auto end = end_option::named(word);
        if (is_word(word, "nx") && !found.only_if_present) {
            found.only_if_absent = true;
        } else if (is_word(word, "xx") && !found.only_if_absent) {
            found.only_if_present = true;
        } else if (is_word(word, "get")) {
            found.gets = true;
        } else if (is_word(word, "keepttl") && !found.end) {
            found.keeps_end = true;
        } else if (
            end && (!found.end || found.end->is_same_option(*end)) && !found.keeps_end &&
            at + 1 < words.size()) {
            found.end = end;
            found.end->value = words[++at];
        } else {
            return std::nullopt;
        }
    }
    return found;
}

void reply_text(store::item* found, replies& to) {
    const auto* const text = found != nullptr ? found->as_text() : nullptr;
    if (text != nullptr)
        to.bulk(*text);
    else
        to.nothing();
}

} // namespace

void run_get(shard& on, arguments given, replies& to) {
    store::item* const found = on.keys.find(given[1]);
    if (found != nullptr && found->as_text() == nullptr) return to.error(wrong_type);
    reply_text(found, to);
}

void run_set(shard& on, arguments given, replies& to) {
    const auto options = parse_set_options(given.subspan(3));
    if (!options) return to.error(syntax_error);
    std::optional<unix_milliseconds> end;
    if (options->end) {
        const auto told = end_of(*options->end, "set", on.keys, to);
        if (!told) return;
        end = told;
    }
    store::item* const before = on.keys.find(given[1]);
    if (options->gets) {
        if (before != nullptr && before->as_text() == nullptr) return to.error(wrong_type);
        reply_text(before, to);
    }
    if ((options->only_if_absent && before != nullptr) || (options->only_if_present && before == nullptr)) {
        if (!options->gets) to.nothing();
        return;
    }
    store::item& item = before != nullptr ? *before : on.keys.find_or_make(given[1]);
    item.assign(given[2]);
    if (end)
        on.keys.set_end(item, *end);
    else if (!options->keeps_end)
        on.keys.remove_end(item);
    if (!options->gets) to.ok();
}

void run_incr(shard& on, arguments given, replies& to) {
    store::item* const found = on.keys.find(given[1]);
    if (found != nullptr && found->as_text() == nullptr) return to.error(wrong_type);
    const auto value = found != nullptr ? parse_integer(*found->as_text()) : 0;
    if (!value) return to.error(no_integer);
    if (*value == std::numeric_limits<long long>::max())
        return to.error("ERR increment or decrement would overflow");
    store::item& item = found != nullptr ? *found : on.keys.find_or_make(given[1]);
    item.assign(std::to_string(*value + 1));
    to.integer(*value + 1);
}

void run_mget(shard& on, arguments given, replies& to) {
    to.array(given.size() - 1);
    for (const std::string_view key : given.subspan(1)) reply_text(on.keys.find(key), to);
}

void run_mset(shard& on, arguments given, replies& to) {
    if (given.size() % 2 == 0) return reply_wrong_count("mset", to);
    for (std::size_t at = 1; at < given.size(); at += 2) {
        store::item& item = on.keys.find_or_make(given[at]);
        item.assign(given[at + 1]);
        on.keys.remove_end(item);
    }
    to.ok();
}

} // namespace redis
