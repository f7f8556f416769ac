#include "session.hpp"

#include "commands.hpp"
#include "information.hpp"

#include <string>
#include <utility>
#include <vector>

namespace redis {

namespace {

// Replies that are worth a send of their own, though there is more to answer.
constexpr std::size_t enough_replies = std::size_t{64} << 10; // bytes
// Below it a copy into the queue, next to other replies, is cheaper than a string that the queue owns.
constexpr std::size_t worth_moving = std::size_t{16} << 10; // bytes

// A key that is longer takes more time to look at than its place in memory does to come.
constexpr std::size_t worth_hashing_twice = 512; // bytes

bool is_for_subscribers(const command& which) {
    return which.run == run_ping || which.name == "quit" || which.name == "subscribe" ||
           which.name == "unsubscribe";
}

chainring::send_marks marks_of_subscriber(std::uint32_t limit) {
    // A message that waits takes some hundred bytes beside its text, so that short ones count as long ones.
    constexpr std::uint32_t least = 128;
    return {
        .high_bytes = limit,
        .low_bytes = limit / 2,
        .high_messages = limit / least,
        .low_messages = limit / least / 2};
}

} // namespace

session::session(
    chainring::stream client, const shards& all, std::size_t here, const session_options& options)
    : client_(std::move(client))
    , all_(all)
    , here_(here)
    , own_(*all.at(here).its)
    , options_(options)
    , parser_(options.requests)
    , batch_(all, here)
    , subscriptions_(own_.listening, client_) {
    ++own_.figures.connected;
    ++own_.figures.connections;
}

session::~session() {
    --own_.figures.connected;
}

chainring::task<> session::serve() {
    chainring::result<void> ended = co_await converse();
    // What a client has asked for is sent however slowly it reads; a close would give it five seconds.
    if (ended) ended = co_await chainring::until_shutdown(client_.flush());
    // Neither the peer of a broken connection nor one that did not read until the deadline is waited for.
    if (!ended && !chainring::this_executor().shutting_down()) client_.abort();
}

chainring::task<chainring::result<void>> session::converse() {
    for (;;) {
        chainring::buffer block = co_await chainring::try_(chainring::until_shutdown(client_.receive()));
        if (block.empty()) co_return chainring::result<void>();
        input_.add(std::move(block));
        pause why = pause::no_input;
        do {
            if (batch_.empty()) {
                const parsed first = next_command();
                if (first == parsed::command && parser_.found().size() > 1 &&
                    parser_.found()[1].size() <= worth_hashing_twice) {
                    // Its key lies in memory that no cache holds. Others take their commands while it comes.
                    const auto wanted = own_.keys.prefetch(parser_.found()[1]);
                    co_await chainring::yield();
                    own_.keys.prefetch_entry(wanted);
                    co_await chainring::yield();
                }
                why = take_commands(first);
            }
            if (!batch_.empty()) co_await chainring::try_(batch_.carry_out(output_));
            if (batch_.empty() && why == pause::own_command && !subscribe_or_not(parser_.found()))
                co_await chainring::try_(inform(all_, parser_.found(), output_));
            if (output_.size() >= worth_moving) {
                co_await chainring::try_(client_.write(output_.take()));
            } else if (!output_.empty()) {
                co_await chainring::try_(client_.write(std::string_view(output_.text())));
                output_.clear();
            }
            if (batch_.empty() && why == pause::ending) co_return chainring::result<void>();
        } while (!batch_.empty() || why != pause::no_input);
        input_.keep_rest();
    }
}

parsed session::next_command() {
    const parsed found = parser_.next(input_.pending());
    input_.take(parser_.taken());
    return found;
}

session::pause session::take_commands(parsed next) {
    for (;; next = next_command()) {
        if (next == parsed::incomplete) return pause::no_input;
        if (next == parsed::malformed) {
            direct().error("ERR " + parser_.complaint());
            return pause::ending;
        }
        ++own_.figures.commands;
        const pause why = take(parser_.found());
        if (why != pause::no_input) return why;
        if (output_.size() >= enough_replies || batch_.full()) return pause::enough;
    }
}

session::pause session::take(arguments given) {
    const command* const which = find_command(given[0]);
    if (which == nullptr) {
        // A browser was made to send a request here: nothing behind its head is to be obeyed.
        if (is_word(given[0], "post") || is_word(given[0], "host:")) return pause::ending;
        reply_unknown(given, direct());
    } else if (!takes(*which, given.size())) {
        reply_wrong_count(which->name, direct());
    } else if (is_subscriber() && which->run == run_ping && given.size() <= 2) {
        direct().array(2);
        direct().bulk("pong");
        direct().bulk(given.size() == 2 ? given[1] : "");
    } else if (is_subscriber() && !is_for_subscribers(*which)) {
        direct().error(
            "ERR Can't execute '" + std::string(which->name) +
            "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context");
    } else if (which->where == runs_on::session) {
        if (which->name != "quit") return pause::own_command;
        direct().ok();
        return pause::ending;
    } else if (runs_here(*which, given)) {
        which->run(own_, given, direct());
    } else {
        batch_.add(*which, given);
        // The words of a line are the parser's only until the next one.
        if (parser_.was_inline()) return pause::enough;
    }
    return pause::no_input;
}

bool session::runs_here(const command& which, arguments given) const {
    if (all_.count() == 1 || which.where == runs_on::any_shard) return true;
    return which.where == runs_on::shard_of_key && all_.owner_of(given[1]) == here_;
}

bool session::subscribe_or_not(arguments given) {
    const bool leaves = is_word(given[0], "unsubscribe");
    if (!leaves && !is_word(given[0], "subscribe")) return false;
    if (leaves && given.size() == 1) {
        const auto all = subscriptions_.subscribed();
        for (const std::string& channel : all) {
            subscriptions_.unsubscribe(channel);
            confirm("unsubscribe", &channel);
        }
        if (all.empty()) confirm("unsubscribe", nullptr);
    }
    for (const std::string_view each : given.subspan(1)) {
        const std::string channel(each);
        if (leaves)
            subscriptions_.unsubscribe(channel);
        else
            subscriptions_.subscribe(channel);
        confirm(leaves ? "unsubscribe" : "subscribe", &channel);
    }
    client_.set_send_marks(
        is_subscriber() ? marks_of_subscriber(options_.subscriber_limit) : chainring::send_marks());
    return true;
}

void session::confirm(std::string_view what, const std::string* channel) {
    output_.array(3);
    output_.bulk(what);
    if (channel != nullptr)
        output_.bulk(*channel);
    else
        output_.nothing();
    output_.integer(static_cast<long long>(subscriptions_.subscribed().size()));
}

} // namespace redis
