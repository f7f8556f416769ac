#include "batch.hpp"

#include "integers.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace redis {

namespace {

constexpr std::size_t most_requests = 1024;
// Of a shard's answers: when there are more, they are sent first.
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
    return requests_.size() >= most_requests || direct_.size() >= most_bytes ||
           parts_[here_].answers.size() >= most_bytes;
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
        if (parts_[owner].has_work()) calls.push_back(run_there(all_.at(owner), parts_[owner]));
    const auto called = co_await chainring::when_all(std::move(calls));
    for (const auto& each : called)
        if (!each) co_return std::unexpected(each.error());
    while (answered_ < requests_.size() && is_answered(requests_[answered_])) {
        join(requests_[answered_], to);
        const std::size_t begin = requests_[answered_++].direct_begin;
        const std::size_t end =
            answered_ < requests_.size() ? requests_[answered_].direct_begin : direct_.size();
        to.append(std::string_view(direct_.text()).substr(begin, end - begin));
    }
    if (answered_ == requests_.size()) clear();
    co_return chainring::result<void>();
}

chainring::task<chainring::result<void>> batch::run_there(const shards::place& where, part& work) {
    auto running = chainring::call_on(*where.home, [&] { work.run(*where.its); });
    const auto ran = co_await std::move(running);
    co_return ran;
}

void batch::part::run(shard& on) {
    const std::size_t before = answers.size();
    while (has_work() && answers.size() - before < most_bytes) {
        const piece& next = pieces[ends.size()];
        next.which->run(on, std::span(words).subspan(next.first, next.count), answers);
        ends.push_back(answers.size());
    }
}

std::string_view batch::part::take_answer() {
    const std::size_t begin = joined == 0 ? 0 : ends[joined - 1];
    const std::size_t end = ends[joined++];
    return std::string_view(answers.text()).substr(begin, end - begin);
}

bool batch::is_answered(const request& asked) const {
    if (asked.count == 1) {
        const part& only = parts_[owners_[asked.first]];
        return only.joined < only.ends.size();
    }
    // Those of a shard run in order: the last one of each tells of all.
    std::vector<std::size_t> needed(parts_.size());
    for (std::size_t at = asked.first; at < asked.first + asked.count; ++at) ++needed[owners_[at]];
    for (std::size_t owner = 0; owner < parts_.size(); ++owner)
        if (parts_[owner].joined + needed[owner] > parts_[owner].ends.size()) return false;
    return true;
}

void batch::join(const request& asked, replies& to) {
    long long sum = 0;
    if (asked.which->joined == joined_by::elements) to.array(asked.count);
    for (std::size_t at = asked.first; at < asked.first + asked.count; ++at) {
        const std::string_view answer = parts_[owners_[at]].take_answer();
        switch (asked.which->joined) {
        case joined_by::nothing: to.append(answer); break;
        case joined_by::sum: sum += parse_integer(value_of(answer)).value_or(0); break;
        case joined_by::first:
            if (at == asked.first) to.append(answer);
            break;
        case joined_by::elements:
            to.append(answer.substr(answer.find('\n') + 1));
            break; // of an array of one
        }
    }
    if (asked.which->joined == joined_by::sum) to.integer(sum);
}

void batch::part::clear() {
    words.clear();
    pieces.clear();
    answers.clear();
    ends.clear();
    joined = 0;
}

void batch::clear() {
    for (part& each : parts_) each.clear();
    requests_.clear();
    owners_.clear();
    direct_.clear();
    answered_ = 0;
}

} // namespace redis
