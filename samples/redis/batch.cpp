#include "batch.hpp"

#include "integers.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace redis {

namespace {

constexpr std::size_t most_requests = 1024;
// Of a shard's answers that wait, and of what is to be sent: when there are more, they are sent first.
constexpr std::size_t most_bytes = std::size_t{64} << 10;

// What is between the kind of a reply and its line's end.
std::string_view value_of(std::string_view reply) {
    return reply.substr(1, reply.find('\r') - 1);
}

} // namespace

batch::batch(const shards& all, std::size_t here)
    : all_(all)
    , here_(here)
    , parts_(all.count()) {}

bool batch::full() const {
    return requests_.size() >= most_requests || direct_.size() >= most_bytes || parts_[here_].is_full();
}

void batch::add(const command& which, arguments given) {
    request& asked = requests_.emplace_back(&which, owners_.size(), 0, direct_.size());
    // A key without its value is for one shard to complain about.
    const bool in_pairs = which.where == runs_on::shards_of_pairs && given.size() % 2 == 1;
    const std::size_t of_each = in_pairs ? 2 : 1;
    if (which.where == runs_on::every_shard) {
        for (std::size_t owner = 0; owner < all_.count(); ++owner) add_piece(owner, which, given);
    } else if (in_pairs || which.where == runs_on::shards_of_keys) {
        for (std::size_t at = 1; at < given.size(); at += of_each) {
            const std::array<std::string_view, 3> words{given[0], given[at], in_pairs ? given[at + 1] : ""};
            add_piece(all_.owner_of(given[at]), which, std::span(words).first(1 + of_each));
        }
    } else {
        const bool by_key = which.where == runs_on::shard_of_key;
        add_piece(by_key ? all_.owner_of(given[1]) : here_, which, given);
    }
    asked.count = owners_.size() - asked.first;
}

void batch::add_piece(std::size_t owner, const command& which, arguments words) {
    part& of = parts_[owner];
    of.pieces.push_back({&which, of.words.size(), words.size()});
    of.words.insert(of.words.end(), words.begin(), words.end());
    owners_.push_back(static_cast<std::uint32_t>(owner));
    if (owner == here_) of.run(*all_.at(here_).its);
}

chainring::task<chainring::result<void>> batch::carry_out(replies& to) {
    std::vector<chainring::task<chainring::result<void>>> calls;
    for (std::size_t owner = 0; owner < parts_.size(); ++owner)
        if (parts_[owner].goes_on()) calls.push_back(run_there(all_.at(owner), parts_[owner]));
    const auto called = co_await chainring::when_all(std::move(calls));
    for (const auto& each : called)
        if (!each) co_return std::unexpected(each.error());
    join_all(to);
    co_return chainring::result<void>();
}

chainring::task<chainring::result<void>> batch::run_there(const shards::place& where, part& work) {
    auto running = chainring::call_on(*where.home, [&] { work.run(*where.its); });
    const auto ran = co_await std::move(running);
    co_return ran;
}

bool batch::part::is_full() const {
    return answers.size() >= most_bytes;
}

void batch::part::run(shard& on) {
    while (goes_on()) {
        const piece& next = pieces[ran++];
        next.which->run(on, std::span(words).subspan(next.first, next.count), answers);
        ends.push_back(answers.size());
    }
}

std::string_view batch::part::answer() const {
    const std::size_t begin = answer_begin();
    return std::string_view(answers.text()).substr(begin, ends[joined] - begin);
}

void batch::part::end_answer() {
    if (++joined != ends.size()) return;
    answers.clear();
    ends.clear();
    joined = 0;
}

void batch::join_all(replies& to) {
    while (to.size() < most_bytes) {
        const bool at_end = answered_ == requests_.size();
        const std::size_t behind = at_end ? direct_.size() : requests_[answered_].direct_begin;
        if (joined_direct_ < behind) direct_.move(std::exchange(joined_direct_, behind), behind, to);
        if (at_end) return clear();
        if (!join(requests_[answered_], to)) return;
        ++answered_;
    }
}

// The first piece of all whose answer is missing is the next of a shard that has room: that shard goes on.
bool batch::join(const request& asked, replies& to) {
    for (; joined_ < asked.first + asked.count; ++joined_) {
        part& of = parts_[owners_[joined_]];
        if (!of.has_answer() || to.size() >= most_bytes) return false;
        join_piece(asked, of, to);
        of.end_answer();
    }
    if (asked.which->joined == joined_by::sum) to.integer(std::exchange(sum_, 0));
    return true;
}

void batch::join_piece(const request& asked, part& of, replies& to) {
    const bool is_first = joined_ == asked.first;
    switch (asked.which->joined) {
    case joined_by::nothing: of.move_answer(to); break;
    case joined_by::sum: sum_ += parse_integer(value_of(of.answer())).value_or(0); break;
    case joined_by::first:
        if (is_first) of.move_answer(to);
        break;
    case joined_by::elements:
        if (is_first) to.array(asked.count);
        to.append(of.answer().substr(of.answer().find('\n') + 1)); // of an array of one
        break;
    }
}

void batch::part::clear() {
    words.clear();
    pieces.clear();
    ran = 0;
    answers.clear();
    ends.clear();
    joined = 0;
}

void batch::clear() {
    for (part& each : parts_) each.clear();
    requests_.clear();
    owners_.clear();
    direct_.clear();
    answered_ = joined_ = joined_direct_ = 0;
}

} // namespace redis
