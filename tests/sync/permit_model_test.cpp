// The count and the line of permits (sync/permits.hpp), in every order of what their threads do.
#include "interleavings.hpp"

#include <chainring/sync/permits.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <mutex>

using namespace chainring;
using namespace chainring::test;

namespace {

// Wrong on purpose: these are two operations each, with others between them.
template <class T> class torn_fetch_or : public model_atomic<T> {
  public:
    using model_atomic<T>::model_atomic;
    T fetch_or(T bits, std::memory_order) {
        const T seen = this->load({});
        this->store(seen | bits, {});
        return seen;
    }
};
template <class T> class torn_exchange : public model_atomic<T> {
  public:
    using model_atomic<T>::model_atomic;
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order) {
        const T seen = this->load({});
        if (seen != std::exchange(expected, seen)) return false;
        this->store(desired, {});
        return true;
    }
};

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

// As permits and acquire_operation do it, but for the kind of lock.
template <template <class> class Atomic> class modelled_permits final : private monitor {
  public:
    explicit modelled_permits(std::uint32_t available, std::uint32_t all)
        : line_(*this, "model", available, all)
        , left_(available) {}

    // False: it was cancelled.
    bool acquire(modelled_request& wanted) {
        if (!line_.try_take(wanted.count())) {
            bool taken = false;
            {
                const std::lock_guard hold(lock_);
                taken = line_.take_or_wait(wanted);
            }
            if (!taken) interleaving::wait_until([&wanted] { return wanted.settled; });
        }
        if (wanted.refused) return false;
        take(wanted.count());
        return true;
    }
    void release(std::uint32_t count) {
        left_ += count;
        if (line_.try_give(count)) return;
        const std::lock_guard hold(lock_);
        line_.give(count);
    }
    // False: it was settled before.
    bool cancel(modelled_request& wanted) {
        const std::lock_guard hold(lock_);
        if (wanted.settled) return false;
        wanted.unlink();
        wanted.settled = wanted.refused = true;
        line_.left();
        return true;
    }
    bool right() const { return right_; }
    bool all_back(std::uint32_t all) { return left_ == all && line_.try_take(all); }

  private:
    void take(std::uint32_t count) {
        if (left_ < count) right_ = false;
        left_ -= count;
    }

    permit_line<Atomic> line_;
    model_mutex lock_;
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
template <template <class> class Atomic> sim::explored explore_permits(const model& of) {
    return sim::explore({}, {.runs = 10'000'000}, [&of](sim::world& world) {
        modelled_permits<Atomic> permits(of.all, of.all);
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
        if (!threads.run() || !permits.right()) return false;
        bool all_there = false;
        interleaving afterwards(world);
        afterwards.add([&] { all_there = permits.all_back(of.all); });
        return afterwards.run() && all_there;
    });
}

const model a_mutex_of_two{.all = 1, .wanted = {1, 1}};
const model a_mutex_of_three{.all = 1, .wanted = {1, 1, 1}, .most_preemptions = 2};
const model two_rounds{.all = 1, .wanted = {1, 1}, .rounds = 2, .most_preemptions = 3};
const model readers_and_a_writer{.all = 2, .wanted = {1, 2, 1}, .most_preemptions = 2};

} // namespace

TEST_CASE("permits_are_exclusive_and_never_lost_in_any_order") {
    for (const model& each : {a_mutex_of_two, a_mutex_of_three, two_rounds, readers_and_a_writer}) {
        const sim::explored all = explore_permits<model_atomic>(each);
        CAPTURE(all.runs, all.choices);
        CHECK(all.complete);
        CHECK_FALSE(all.thinned);
        CHECK(all.runs > 300);
    }
}

TEST_CASE("the_model_of_permits_rejects_operations_that_are_not_atomic") {
    CHECK_FALSE(explore_permits<torn_fetch_or>(a_mutex_of_two).complete);
    CHECK_FALSE(explore_permits<torn_exchange>(a_mutex_of_two).complete);
}

TEST_CASE("who_is_cancelled_in_line_stands_in_nobodys_way_in_any_order") {
    const sim::explored all = sim::explore({}, {.runs = 10'000'000}, [](sim::world& world) {
        modelled_permits<model_atomic> permits(1, 2); // the other one is with the thread that cancels
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
