// Cancellation against completion, ten thousand rounds for each operation with random timing, half of them in each
// mode: the cancel comes before the operation was submitted, while it is in flight, in the turn of its completion, and
// after it. It is resumed exactly once, its result is what happened, and what happened to nobody is still there for
// the next one. And a thousand rounds in which its task is destroyed instead: afterwards nothing is left of it.
//
// The variants of an operation share its rounds. In builds in which everything takes several times as long there is a tenth of
// them.
#pragma once

#include "datagrams.hpp"
#include "runtime/steps.hpp"

#include <catch2/catch_get_random_seed.hpp>

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string_view>
#include <vector>

namespace chainring::test {

// Peers end their connections by a reset, which leaves none in TIME_WAIT: the ports of all these rounds would not
// suffice.
inline constexpr std::size_t rounds_of_a_mode = (optimized ? 10'000 : 1000) / 2;
inline constexpr std::size_t destroyed_rounds_of_a_mode = (optimized ? 1000 : 100) / 2;

// One operation. `operate` awaits it once and says how it ended; the rest is its surroundings.
class race_case {
  public:
    virtual ~race_case() = default;

    virtual task<> prepare() { co_return; }
    virtual task<std::error_code> operate() = 0;
    // Lets the operation complete, now or soon. It can be called once a round, at any time.
    virtual void complete() {}
    // After the round: the outcome, and what is left, fit.
    virtual task<> check(std::error_code) { co_return; }
    virtual task<> finish() { co_return; }
};

template <class T> std::error_code ended(const result<T>& outcome) {
    return outcome ? std::error_code() : outcome.error();
}

// The completion, and what the operation is up against, each at a random moment.
template <class Against> task<> race(race_case& tried, std::minstd_rand& random, Against against) {
    const auto below = [&random](unsigned limit) { return static_cast<unsigned>(random() >> 8) % limit; };
    constexpr unsigned steps = 5;
    const unsigned completes_at = below(steps);
    const unsigned against_at = below(steps);
    for (unsigned step = 0; step < steps; ++step) {
        if (step == completes_at) tried.complete();
        if (step == against_at) {
            against();
            if (below(8) == 0) { // a dump takes as long as several rounds
                std::ostringstream seen;
                executor::current()->dump(seen); // finds nothing that is gone
            }
        }
        const unsigned pause = below(4);
        if (pause == 0) co_await yield();
        if (pause == 1) co_await next_turn{};
        if (pause == 2) co_await one_turn();
        if (pause == 3) co_await turn_begin();
    }
}

inline task<> cancel_in_a_round(race_case& tried, std::minstd_rand& random) {
    co_await tried.prepare();
    int resumed = 0;
    std::error_code outcome;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](race_case& in, int& count, std::error_code& told) -> task<> {
            told = co_await in.operate();
            ++count;
        }(tried, resumed, outcome));
        co_await race(tried, random, [&group] { group.cancel(); });
    });
    REQUIRE(resumed == 1);
    if (outcome && outcome != errc::cancelled) FAIL("unexpected error: " << outcome.message());
    co_await tried.check(outcome);
}

inline task<> destroy_in_a_round(race_case& tried, std::minstd_rand& random) {
    co_await tried.prepare();
    cancel_scope& here = co_await this_scope{};
    std::optional<task_group> group(std::in_place, here);
    group->spawn([](race_case& in) -> task<> { (void)co_await in.operate(); }(tried));
    co_await race(tried, random, [&group] { group.reset(); });
}

using reading = task<result<int>>(int, std::span<char>);

inline task<result<int>> read_plainly(int from, std::span<char> into) {
    const result<int> read = co_await read_into(from, into);
    co_return read;
}

// Something that waits for a read from a pipe.
template <reading Read> class reads_a_pipe final : public race_case {
    task<std::error_code> operate() override {
        const result<int> read = co_await Read(pipe_.reading(), memory_);
        co_return ended(read);
    }
    void complete() override { pipe_.write("x"); }
    task<> check(std::error_code error) override {
        CHECK(pipe_.left() == (error ? "x" : ""));
        co_return;
    }
    pipe_ends pipe_;
    std::array<char, 4> memory_{};
};

// The variants of an operation.
struct cases {
    std::vector<std::function<std::unique_ptr<race_case>()>> all;

    // Of so many for the operation.
    std::size_t each_of(std::size_t rounds) const { return rounds / all.size(); }
};
inline cases operator+(cases given, cases more) {
    std::ranges::move(more.all, std::back_inserter(given.all));
    return given;
}

template <class... Cases> cases each() {
    return {.all = {[] { return std::make_unique<Cases>(); }...}};
}

// One case, over each of some. Its rounds are over before another case is made.
template <class Case, class... Over> cases over_each() {
    return {.all = {[] {
                over_any::stands_for<Over>();
                return std::make_unique<Case>();
            }...}};
}
template <class Case> cases over_each_connection() {
    return over_each<Case, over_tcp, over_unix, over_seqpacket>();
}

// A stream with a small socket, and its peer.
inline task<stream_and_peer<over_any>> pair_for_a_race() {
    co_return co_await connected_to_plain<over_any>(4096);
}

// How many bytes are `x`, behind dots that have filled the socket. Not counted one by one: without optimization that would take
// longer than the round.
inline std::size_t size_of_x(std::string_view text) {
    return text.size() - std::min(text.size(), text.find('x'));
}

// The same of what is there now.
inline std::size_t read_each_x(const plain_socket& from) {
    std::size_t found = 0;
    for (std::string text; !(text = from.read_now()).empty();) found += size_of_x(text);
    return found;
}

inline plain_socket non_blocking(plain_socket made) {
    ::fcntl(made.get(), F_SETFL, O_NONBLOCK);
    return made;
}

// How many there were in the backlog.
inline int reset_all_waiting(const plain_socket& listener) {
    int accepted = 0;
    for (int descriptor = 0; (descriptor = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)) >= 0;
         ++accepted)
        plain_socket(descriptor).reset();
    return accepted;
}

inline void run_all(const cases& tested, task_work_mode mode) {
    const std::uint32_t seed = Catch::getSeed();
    CAPTURE(seed);
    const std::size_t descriptors = open_descriptors();
    for (const auto& make : tested.all) {
        executor_options options = options_for(mode);
        options.direct_descriptors = 64;
        on_executor(options, [&]() -> task<> {
            std::minstd_rand random(seed);
            const std::unique_ptr<race_case> tried = make();
            for (std::size_t round = 0; round < tested.each_of(rounds_of_a_mode); ++round)
                co_await cancel_in_a_round(*tried, random);
            co_await tried->finish();
            for (std::size_t round = 0; round < tested.each_of(destroyed_rounds_of_a_mode); ++round) {
                const std::unique_ptr<race_case> fresh = make();
                co_await destroy_in_a_round(*fresh, random);
            }
            co_await settle(); // what was on its way from another executor comes to its end there
        });
    }
    CHECK(open_descriptors() == descriptors);
}

} // namespace chainring::test
