// What needs no key: PING, ECHO, SELECT, COMMAND, CONFIG and PUBLISH.
#include "commands.hpp"
#include "integers.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace redis {

namespace {

// What Redis calls so, as far as clients ask for it.
constexpr std::pair<std::string_view, std::string_view> settings[] = {
    {"appendonly", "no"}, {"databases", "1"}, {"maxmemory", "0"}, {"proto-max-bulk-len", "67108864"},
    {"save", ""},
};

// Of a pattern with * and ?. Goes back to the last * only: a client may send as many of them as it likes.
bool matches(std::string_view pattern, std::string_view text) {
    std::size_t at = 0;
    std::size_t star = std::string_view::npos;
    std::size_t covered = 0; // of the text, by what is in front of the star and by the star
    for (std::size_t seen = 0; seen < text.size();) {
        if (at < pattern.size() && pattern[at] == '*') {
            star = at++;
            covered = seen;
        } else if (
            at < pattern.size() &&
            (pattern[at] == '?' || is_word(pattern.substr(at, 1), text.substr(seen, 1)))) {
            ++at;
            ++seen;
        } else if (star != std::string_view::npos) {
            at = star + 1;
            seen = ++covered;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

void describe(const command& each, replies& to) {
    const bool of_keys = each.where == runs_on::shards_of_keys || each.where == runs_on::shards_of_pairs;
    const bool of_key = each.where == runs_on::shard_of_key;
    to.array(10);
    to.bulk(each.name);
    to.integer(each.arity);
    to.array(each.flags.empty() ? 0 : 1 + static_cast<std::size_t>(std::ranges::count(each.flags, ' ')));
    for (std::string_view rest = each.flags; !rest.empty();) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        to.simple(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    to.integer(of_keys || of_key ? 1 : 0);
    to.integer(of_keys ? -1 : of_key ? 1 : 0);
    to.integer(each.where == runs_on::shards_of_pairs ? 2 : of_keys || of_key ? 1 : 0);
    for (int empty = 0; empty < 4; ++empty) to.array(0); // categories, tips, key specifications, subcommands
}

} // namespace

void run_ping(shard&, arguments given, replies& to) {
    if (given.size() > 2) return reply_wrong_count("ping", to);
    if (given.size() == 2)
        to.bulk(given[1]);
    else
        to.simple("PONG");
}

void run_echo(shard&, arguments given, replies& to) {
    to.bulk(given[1]);
}

void run_select(shard&, arguments given, replies& to) {
    const auto number = parse_integer(given[1]);
    if (!number) return to.error(no_integer);
    if (*number < std::numeric_limits<int>::min() || *number > std::numeric_limits<int>::max())
        return to.error("ERR value is out of range, value must between -2147483648 and 2147483647");
    if (*number != 0) return to.error("ERR DB index is out of range");
    to.ok();
}

void run_command(shard&, arguments given, replies& to) {
    const auto all = all_commands();
    if (given.size() == 1 || (given.size() == 2 && is_word(given[1], "info"))) {
        to.array(all.size());
        for (const command& each : all) describe(each, to);
    } else if (is_word(given[1], "count")) {
        if (given.size() != 2) return reply_wrong_count("command|count", to);
        to.integer(static_cast<long long>(all.size()));
    } else if (is_word(given[1], "list")) {
        if (given.size() != 2) return to.error(syntax_error);
        to.array(all.size());
        for (const command& each : all) to.bulk(each.name);
    } else if (is_word(given[1], "info")) {
        to.array(given.size() - 2);
        for (const std::string_view name : given.subspan(2)) {
            if (const command* const found = find_command(name))
                describe(*found, to);
            else
                to.nothing();
        }
    } else if (is_word(given[1], "docs")) {
        to.array(0);
    } else {
        reply_unknown_subcommand(given, to);
    }
}

void run_config(shard&, arguments given, replies& to) {
    if (!is_word(given[1], "get")) return reply_unknown_subcommand(given, to);
    if (given.size() < 3) return reply_wrong_count("config|get", to);
    replies found;
    std::size_t count = 0;
    for (const auto& setting : settings) {
        const std::string_view name = setting.first;
        const auto patterns = given.subspan(2);
        const auto by =
            std::ranges::find_if(patterns, [&](std::string_view pattern) { return matches(pattern, name); });
        if (by == patterns.end()) continue;
        // Who spells the whole name gets it as it was spelt.
        found.bulk(is_word(*by, name) ? *by : name);
        found.bulk(setting.second);
        count += 2;
    }
    to.array(count);
    to.append(found.text());
}

void run_publish(shard& on, arguments given, replies& to) {
    to.integer(static_cast<long long>(on.listening.publish(given[1], given[2])));
}

} // namespace redis
