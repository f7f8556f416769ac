// The inbox and the handshake of an executor's sleep (runtime/inbox.hpp), in every order of what their threads do.
#include "interleavings.hpp"
#include "runtime/forwarding_kernel.hpp"

#include <chainring/runtime/inbox.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

// Its event is a count of the model.
class kernel_with_modelled_event final : public forwarding_kernel {
  public:
    int open_event() noexcept override { return 0; }
    int close(int) noexcept override { return 0; }
    void signal_event(int) noexcept override {
        ++signals_;
        told_ = false;
    }
    // The sleep of an executor: until the poll of its event tells what was signalled since it told something last.
    void sleep() {
        interleaving::wait_until([this] { return !told_; });
        told_ = true;
    }
    int signals() const noexcept { return signals_; }

  private:
    bool told_ = true;
    int signals_ = 0;
};

struct modelled_work final : posted_work {
    modelled_work(std::vector<int>& to, int own) noexcept
        : ran(to)
        , number(own) {}
    void run() noexcept override { ran.push_back(number); }
    std::vector<int>& ran;
    int number;
};

struct posting {
    int threads;
    int each;
    unsigned most_preemptions = std::numeric_limits<unsigned>::max();
};

// An executor, as executor::turn_until and prepare_to_sleep do it, to which threads post: all arrives once, in the order of
// each of them, and however often the executor sleeps it is woken once for each time.
template <class Memory> sim::explored explore_posts(const posting& of) {
    return sim::explore({}, {.runs = 10'000'000}, [&of](sim::world& world) {
        kernel_with_modelled_event kernel;
        std::vector<int> ran;
        std::vector<modelled_work> work;
        for (int number = 0; number < of.threads * of.each; ++number) work.emplace_back(ran, number);
        inbox_over<Memory> box(kernel);
        int announced = 0; // sleeps
        interleaving threads(world, of.most_preemptions);
        threads.add([&] {
            for (;;) {
                box.run_all();
                if (ran.size() == work.size()) break;
                ++announced;
                box.about_to_sleep();
                if (box.empty()) kernel.sleep();
                box.awake();
            }
        });
        for (int poster = 0; poster < of.threads; ++poster)
            threads.add([&, own = work.data() + std::ptrdiff_t{poster} * of.each] {
                for (int at = 0; at < of.each; ++at) box.post(own[at]);
            });
        if (!threads.run() || ran.size() != work.size() || kernel.signals() > announced) return false;
        for (int poster = 0; poster < of.threads; ++poster) {
            std::vector<int> own;
            for (const int number : ran)
                if (number / of.each == poster) own.push_back(number);
            if (!std::ranges::is_sorted(own) || std::ranges::adjacent_find(own) != own.end()) return false;
        }
        return true;
    });
}

const posting one{.threads = 1, .each = 1};
const posting one_after_another{.threads = 1, .each = 2, .most_preemptions = 3};
const posting two_at_once{.threads = 2, .each = 1, .most_preemptions = 3};
const posting two_by_two{.threads = 2, .each = 2, .most_preemptions = 2};

} // namespace

TEST_CASE("posts_arrive_once_and_wake_the_executor_in_any_order", "[linux]") {
    for (const posting& each : {one, one_after_another, two_at_once, two_by_two}) {
        const sim::explored all = explore_posts<model_memory>(each);
        CAPTURE(all.runs, all.choices);
        CHECK(all.complete);
        CHECK_FALSE(all.thinned);
        CHECK(all.runs > 100);
    }
}

TEST_CASE("the_model_of_the_inbox_rejects_a_stack_that_is_not_atomic", "[linux]") {
    CHECK_FALSE(explore_posts<memory_of<torn_compare_exchange>>(two_at_once).complete);
    CHECK_FALSE(explore_posts<memory_of<torn_exchange>>(one_after_another).complete);
}

TEST_CASE("the_model_of_the_sleep_rejects_an_executor_that_looks_before_others_see_it_asleep", "[linux]") {
    CHECK_FALSE(explore_posts<memory_of<late_store>>(one).complete);
}
