// session: one client, from its first command to its last.
//
// It reads on only when the replies to what it has read are sent, or wait to be sent below a limit: a client that asks and never
// reads stands still, and costs no more memory than that.
#pragma once

#include "batch.hpp"
#include "channels.hpp"
#include "input.hpp"
#include "request_parser.hpp"
#include "shard.hpp"

#include <chainring/chainring.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace redis {

struct session_options {
    request_limits requests = {};
    // Bytes that may wait to be sent to a subscriber. One more message, and it is disconnected.
    std::uint32_t subscriber_limit = std::uint32_t{8} << 20;
};

class session {
  public:
    // `here`: the number of this executor's shard. All must outlive the session.
    session(chainring::stream client, const shards& all, std::size_t here, const session_options& options);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Until the client or the server ends it. What the client has asked for is answered, though it has ended its side.
    chainring::task<> serve();

  private:
    // Why no more commands were taken.
    enum class pause : std::uint8_t {
        no_input,    // but perhaps a part of a command
        enough,      // is to be sent first
        own_command, // which is the parser's, and is to be carried out
        ending,      // what was answered is the last
    };

    chainring::task<chainring::result<void>> converse();
    parsed next_command();
    // The first of which has been parsed.
    pause take_commands(parsed next);
    // Of a command that is there, or what a client is told instead.
    pause take(arguments given);
    bool runs_here(const command& which, arguments given) const;
    // At once: the confirmation is written before anybody else can publish. False: it is another command.
    bool subscribe_or_not(arguments given);
    void confirm(std::string_view what, const std::string* channel);

    bool is_subscriber() const { return !subscriptions_.subscribed().empty(); }
    replies& direct() { return batch_.empty() ? output_ : batch_.behind_last(); }

    chainring::stream client_;
    const shards& all_;
    std::size_t here_;
    shard& own_;
    session_options options_;
    request_parser parser_;
    input input_;
    batch batch_;
    replies output_;
    subscriber subscriptions_;
};

} // namespace redis
