// batch: commands of one client whose keys belong to several shards. Each shard is called once for all of its commands, and the
// replies come in the order in which the client has asked.
//
// What belongs to this executor's shard runs when it is added. So every shard sees a client's commands in their order; a command of
// several keys is divided by shards, and is not done at one moment as it would be by one.
//
// What waits here to be sent is bounded, however much there is to answer: a shard goes on only when there is room for its answers.
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

    // Some of it or all: when there is much to send it is for the caller to send it, and to call again until the batch is empty.
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
    // What one shard has to do, and its answers of which no client's reply was made yet.
    struct part {
        std::vector<std::string_view> words;
        std::vector<piece> pieces;
        std::size_t ran = 0; // pieces
        replies answers;
        std::vector<std::size_t> ends; // of each answer
        std::size_t joined = 0;        // answers, that are still there because others are

        bool is_full() const;
        bool goes_on() const { return ran < pieces.size() && !is_full(); }
        void run(shard& on);

        bool has_answer() const { return joined < ends.size(); }
        std::size_t answer_begin() const { return joined == 0 ? 0 : ends[joined - 1]; }
        std::string_view answer() const;
        void move_answer(replies& to) { answers.move(answer_begin(), ends[joined], to); }
        void end_answer();
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
    void join_all(replies& to);
    // False: some is missing yet, or there is enough to send.
    bool join(const request& asked, replies& to);
    void join_piece(const request& asked, part& of, replies& to);
    void clear();

    const shards& all_;
    std::size_t here_;
    std::vector<part> parts_; // of each shard
    std::vector<request> requests_;
    std::vector<std::uint32_t> owners_; // of the requests' pieces
    replies direct_;

    // What the client's replies were made of.
    std::size_t answered_ = 0;      // requests
    std::size_t joined_ = 0;        // pieces
    std::size_t joined_direct_ = 0; // bytes
    long long sum_ = 0;             // of the request whose pieces are being joined
};

} // namespace redis
