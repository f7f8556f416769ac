#include "commands.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace redis {

namespace {

using on_which = runs_on;
using by = joined_by;

constexpr command table[] = {
    {"command", -1, on_which::any_shard, by::nothing, "loading stale", run_command},
    {"config", -2, on_which::any_shard, by::nothing, "", run_config},
    {"dbsize", 1, on_which::every_shard, by::sum, "readonly fast", run_dbsize},
    {"del", -2, on_which::shards_of_keys, by::sum, "write", run_del},
    {"echo", 2, on_which::any_shard, by::nothing, "fast", run_echo},
    {"exists", -2, on_which::shards_of_keys, by::sum, "readonly fast", run_exists},
    {"expire", -3, on_which::shard_of_key, by::nothing, "write fast", run_expire},
    {"flushall", -1, on_which::every_shard, by::first, "write", run_flushall},
    {"get", 2, on_which::shard_of_key, by::nothing, "readonly fast", run_get},
    {"incr", 2, on_which::shard_of_key, by::nothing, "write denyoom fast", run_incr},
    {"info", -1, on_which::session, by::nothing, "loading stale", nullptr},
    {"lpush", -3, on_which::shard_of_key, by::nothing, "write denyoom fast", run_lpush},
    {"lrange", 4, on_which::shard_of_key, by::nothing, "readonly", run_lrange},
    {"mget", -2, on_which::shards_of_keys, by::elements, "readonly fast", run_mget},
    {"mset", -3, on_which::shards_of_pairs, by::first, "write denyoom", run_mset},
    {"ping", -1, on_which::any_shard, by::nothing, "fast", run_ping},
    {"publish", 3, on_which::every_shard, by::sum, "pubsub loading stale fast", run_publish},
    {"quit", -1, on_which::session, by::nothing, "noscript loading stale fast", nullptr},
    {"rpush", -3, on_which::shard_of_key, by::nothing, "write denyoom fast", run_rpush},
    {"select", 2, on_which::any_shard, by::nothing, "loading stale fast", run_select},
    {"set", -3, on_which::shard_of_key, by::nothing, "write denyoom", run_set},
    {"subscribe", -2, on_which::session, by::nothing, "pubsub noscript loading stale", nullptr},
    {"ttl", 2, on_which::shard_of_key, by::nothing, "readonly fast", run_ttl},
    {"unsubscribe", -1, on_which::session, by::nothing, "pubsub noscript loading stale", nullptr},
};

constexpr char lowered(char each) {
    return each >= 'A' && each <= 'Z' ? static_cast<char>(each - 'A' + 'a') : each;
}

// Each name has a place of its own among so many.
constexpr std::size_t places = 64;
constexpr std::size_t place_of(std::string_view name) {
    const auto letter = [&](std::size_t at) { return static_cast<unsigned char>(lowered(name[at])); };
    return (letter(0) + letter(name.size() / 3) * 2U + letter(name.size() - 1) * 15U + name.size()) % places;
}

constexpr auto by_place = [] {
    std::array<const command*, places> made{};
    for (const command& each : table) {
        if (made[place_of(each.name)] != nullptr) throw "two names have the same place: choose other factors";
        made[place_of(each.name)] = &each;
    }
    return made;
}();

} // namespace

std::span<const command> all_commands() {
    return table;
}

const command* find_command(std::string_view name) {
    if (name.empty()) return nullptr;
    const command* const found = by_place[place_of(name)];
    return found != nullptr && is_word(name, found->name) ? found : nullptr;
}

bool takes(const command& which, std::size_t words) {
    const auto count = static_cast<int>(words);
    return which.arity < 0 ? count >= -which.arity : count == which.arity;
}

bool is_word(std::string_view text, std::string_view lower) {
    return std::ranges::equal(text, lower, {}, lowered);
}

std::string shown(std::string_view text, std::size_t at_most) {
    std::string made(text.substr(0, std::min(text.find('\0'), at_most)));
    std::ranges::replace(made, '\r', ' ');
    std::ranges::replace(made, '\n', ' ');
    return made;
}

void reply_unknown(arguments given, replies& to) {
    constexpr std::size_t most = 128; // bytes of the name, and of the arguments with what is around them
    std::string beginning;
    for (const std::string_view each : given.subspan(1)) {
        if (beginning.size() >= most) break;
        beginning += '\'' + shown(each, most - beginning.size()) + "' ";
    }
    to.error("ERR unknown command '" + shown(given[0], most) + "', with args beginning with: " + beginning);
}

void reply_wrong_count(std::string_view name, replies& to) {
    to.error("ERR wrong number of arguments for '" + std::string(name) + "' command");
}

void reply_unknown_subcommand(arguments given, replies& to) {
    std::string of(given[0]);
    std::ranges::transform(of, of.begin(), [](char each) {
        return each >= 'a' && each <= 'z' ? static_cast<char>(each - 'a' + 'A') : each;
    });
    to.error("ERR unknown subcommand '" + shown(given[1], 128) + "'. Try " + of + " HELP.");
}

} // namespace redis
