// batch: commands of one client whose keys belong to several shards. Each shard is called once for all of its commands, and the
// replies come in the order in which the client has asked.
//
// What belongs to this executor's shard runs when it is added. So every shard sees a client's commands in their order; a command of
// several keys is divided by shards, and is not done at one moment as it would be by one.
#pragma once

#include "commands.hpp"
#include "replies.hpp"
#include "shard.hpp"

#include <chainring/chainring.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace redis {

class batch {
  public:
    batch(const shards& all, std::size_t here);
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;

    bool empty() const { return requests_.empty(); }
    // What is in it should be carried out before more is added.
    bool full() const;

    // `which` is not the session's. The arguments must stay where they are until it is empty.
    void add(const command& which, arguments given);
    // For what is answered at once, behind all that was added.
    replies& behind_last() { return direct_; }

    // Some of the requests or all: there is a limit to what may wait to be sent.
    //
    // errors: errc::cancelled; errc::executor_ended
    chainring::task<chainring::result<void>> carry_out(replies& to);

  private:
    // One or more words that a shard runs as a command.
    struct piece {
        const command* which;
        std::size_t first; // of its words
        std::size_t count;
    };
    // What one shard has to do, and has done.
    struct part {
        std::vector<std::string_view> words;
        std::vector<piece> pieces;
        replies answers;
        std::vector<std::size_t> ends; // of each answer
        std::size_t joined = 0;        // answers that a client's reply was made of

        bool has_work() const { return ends.size() < pieces.size(); }
        void run(shard& on);
        std::string_view take_answer();
        void clear();
    };
    struct request {
        const command* which;
        std::size_t first; // of its pieces' owners
        std::size_t count;
        std::size_t direct_begin; // of what was answered at once behind it
    };

    void add_piece(std::size_t owner, const command& which, arguments words);
    static chainring::task<chainring::result<void>> run_there(const shards::place& where, part& work);
    bool is_answered(const request& asked) const;
    void join(const request& asked, replies& to);
    void clear();

    const shards& all_;
    std::size_t here_;
    std::vector<part> parts_; // of each shard
    std::vector<request> requests_;
    std::vector<std::uint32_t> owners_; // of the requests' pieces
    replies direct_;
    std::size_t answered_ = 0; // requests
};

} // namespace redis
