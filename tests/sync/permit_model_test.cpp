// The permits of a mutex (sync/permit_line.hpp) in every order in which threads get its lock.
#include "interleavings.hpp"

#include <chainring/sync/permit_line.hpp>

#include <catch2/catch_test_macros.hpp>

#include <initializer_list>
#include <limits>
#include <mutex>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

class modelled_request final : public permit_request {
  public:
    explicit modelled_request(std::uint32_t count) noexcept
        : permit_request(count) {}
    bool settled = false;
    bool refused = false;

  private:
    void let_go(fault) noexcept override { settled = true; }
    std::string who() const override { return "a thread of a model"; }
};

// As permits and acquire_operation do it: without a place in the line at first, and then with one. Without a second look then,
// which is wrong, the line may stand still before what was given meanwhile.
template <bool SecondLook = true> class modelled_permits final : private monitor {
  public:
    modelled_permits(std::uint32_t available, std::uint32_t all)
        : line_(*this, "model", available, all)
        , left_(available) {}

    // False: it was cancelled.
    bool acquire(modelled_request& wanted) {
        if (!try_take(wanted.count()) && !take_or_wait(wanted))
            interleaving::wait_until([&wanted] { return wanted.settled; });
        if (wanted.refused) return false;
        if (left_ < wanted.count()) right_ = false;
        left_ -= wanted.count();
        return true;
    }
    void release(std::uint32_t count) {
        left_ += count;
        const std::lock_guard hold(lock_);
        line_.give(count);
    }
    // False: it was settled before.
    bool cancel(modelled_request& wanted) {
        const std::lock_guard hold(lock_);
        if (wanted.settled) return false;
        wanted.unlink();
        wanted.settled = wanted.refused = true;
        line_.serve();
        return true;
    }
    bool right() const { return right_; }
    bool all_back(std::uint32_t all) { return left_ == all && line_.available() == all; }

  private:
    bool try_take(std::uint32_t count) {
        const std::lock_guard hold(lock_);
        return line_.try_take(count);
    }
    bool take_or_wait(modelled_request& wanted) {
        const std::lock_guard hold(lock_);
        if constexpr (SecondLook) return line_.take_or_wait(wanted);
        line_.wait(wanted);
        return false;
    }
    model_mutex lock_;
    permit_line line_;
    std::uint32_t left_; // by another count
    bool right_ = true;
};

struct model {
    std::uint32_t all;
    std::vector<std::uint32_t> wanted; // by a thread each
    unsigned rounds = 1;
    unsigned most_preemptions = std::numeric_limits<unsigned>::max();
};

// Threads that take and give; nobody ever has what another one has, nobody waits for ever, and in the end all is there.
template <bool SecondLook = true> sim::explored explore_permits(const model& of) {
    return sim::explore({}, {.runs = 10'000'000}, [&of](sim::world& world) {
        modelled_permits<SecondLook> permits(of.all, of.all);
        std::vector<std::vector<modelled_request>> requests; // they leave the line first
        for (const std::uint32_t count : of.wanted)
            for (auto& own = requests.emplace_back(); own.size() < of.rounds;) own.emplace_back(count);
        interleaving threads(world, of.most_preemptions);
        for (auto& own : requests)
            threads.add([&permits, &own] {
                for (modelled_request& each : own) {
                    permits.acquire(each);
                    interleaving::step();
                    permits.release(each.count());
                }
            });
        return threads.run() && permits.right() && permits.all_back(of.all);
    });
}

const model a_mutex_of_two{.all = 1, .wanted = {1, 1}};
const model a_mutex_of_three{.all = 1, .wanted = {1, 1, 1}, .most_preemptions = 2};
const model two_rounds{.all = 1, .wanted = {1, 1}, .rounds = 2, .most_preemptions = 3};
const model readers_and_a_writer{.all = 2, .wanted = {1, 2, 1}, .most_preemptions = 2};

void check_complete(const sim::explored& all) {
    CAPTURE(all.runs, all.choices);
    CHECK(all.complete);
    CHECK_FALSE(all.thinned);
    CHECK(all.runs > 40);
}

} // namespace

TEST_CASE("permits_are_exclusive_and_never_lost_in_any_order") {
    for (const model& each : {a_mutex_of_two, a_mutex_of_three, two_rounds, readers_and_a_writer})
        check_complete(explore_permits(each));
}

TEST_CASE("the_model_of_permits_rejects_who_waits_without_a_second_look") {
    CHECK_FALSE(explore_permits<false>(a_mutex_of_two).complete);
}

TEST_CASE("who_is_cancelled_in_line_stands_in_nobodys_way_in_any_order") {
    const sim::explored all = sim::explore({}, {.runs = 10'000'000}, [](sim::world& world) {
        modelled_permits<> permits(1, 2); // the other one is with the thread that cancels
        modelled_request of_two(2);
        modelled_request of_one(1);
        bool one_is_there = false;
        bool cancelled = false;
        interleaving threads(world, 2);
        threads.add([&] {
            interleaving::wait_until([&] { return of_two.linked(); });
            cancelled = permits.cancel(of_two);
            interleaving::wait_until([&] { return one_is_there; });
            permits.release(1);
        });
        threads.add([&] {
            if (permits.acquire(of_two)) permits.release(2);
        });
        threads.add([&] {
            permits.acquire(of_one);
            one_is_there = true;
            permits.release(1);
        });
        return threads.run() && permits.right() && cancelled;
    });
    CAPTURE(all.runs, all.choices);
    CHECK(all.complete);
    CHECK(all.runs > 100);
}
