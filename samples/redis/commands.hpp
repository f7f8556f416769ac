// The commands: what each is called, how many arguments it takes, on which shards it runs, and the function that carries it out.
#pragma once

#include "replies.hpp"
#include "request_parser.hpp"
#include "shard.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace redis {

enum class runs_on : std::uint8_t {
    any_shard,       // it needs no key
    shard_of_key,    // the one argument behind the name
    shards_of_keys,  // each argument is a key
    shards_of_pairs, // a key and its value, and so on
    every_shard,
    session, // it changes what the connection is (session.cpp)
};

// How the replies of several shards become one.
enum class joined_by : std::uint8_t { nothing, sum, first, elements };

struct command {
    std::string_view name; // in lower case
    int arity;             // with the name; negative: at least so many
    runs_on where;
    joined_by joined;
    std::string_view flags; // as COMMAND tells them, with a blank between
    // With as many arguments as it takes. nullptr: the session's own.
    void (*run)(shard& on, arguments given, replies& to);
};

// By any spelling of its name; nullptr: there is none.
const command* find_command(std::string_view name);
std::span<const command> all_commands();

bool takes(const command& which, std::size_t words);

// What is written instead of a reply.
void reply_unknown(arguments given, replies& to);
void reply_wrong_count(std::string_view name, replies& to);
void reply_unknown_subcommand(arguments given, replies& to);
inline constexpr std::string_view wrong_type =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
inline constexpr std::string_view no_integer = "ERR value is not an integer or out of range";
inline constexpr std::string_view syntax_error = "ERR syntax error";

// The same word, whether in capitals or not. `lower` is not.
bool is_word(std::string_view text, std::string_view lower);

// As error replies show what came from a client: without line ends, and up to a zero.
std::string shown(std::string_view text, std::size_t at_most);

// Each in the source of its kind.
void run_get(shard& on, arguments given, replies& to);
void run_set(shard& on, arguments given, replies& to);
void run_incr(shard& on, arguments given, replies& to);
void run_mget(shard& on, arguments given, replies& to);
void run_mset(shard& on, arguments given, replies& to);

void run_lpush(shard& on, arguments given, replies& to);
void run_rpush(shard& on, arguments given, replies& to);
void run_lrange(shard& on, arguments given, replies& to);

void run_del(shard& on, arguments given, replies& to);
void run_exists(shard& on, arguments given, replies& to);
void run_expire(shard& on, arguments given, replies& to);
void run_ttl(shard& on, arguments given, replies& to);
void run_dbsize(shard& on, arguments given, replies& to);
void run_flushall(shard& on, arguments given, replies& to);

void run_ping(shard& on, arguments given, replies& to);
void run_echo(shard& on, arguments given, replies& to);
void run_select(shard& on, arguments given, replies& to);
void run_command(shard& on, arguments given, replies& to);
void run_config(shard& on, arguments given, replies& to);
void run_publish(shard& on, arguments given, replies& to);

} // namespace redis
