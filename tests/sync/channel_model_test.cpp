// A channel (sync/channel_state.hpp) in every order in which threads get its lock.
#include "interleavings.hpp"

#include <chainring/sync/channel_state.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <mutex>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

template <class Entry> class modelled_end final : public Entry {
  public:
    using Entry::Entry;
    using Entry::value_;
    bool settled = false;
    fault refused;

  private:
    void let_go(fault why) noexcept override {
        refused = why;
        settled = true;
    }
    std::string who() const override { return "a thread of a model"; }
};
struct one_to_send : sent_value<int> {
    explicit one_to_send(int&& value) noexcept
        : sent_value(std::move(value)) {}
};
struct one_to_receive : received_value<int> {
    one_to_receive() noexcept = default;
};
using modelled_sender = modelled_end<one_to_send>;
using modelled_receiver = modelled_end<one_to_receive>;

// As it should be, and wrong on purpose: without a second look who waits may wait for what is there by then, and without a
// look at whether it was settled who is cancelled loses what it was handed.
enum class fault_in_the_model : std::uint8_t { none, no_second_look, blind_cancel };

// As the operations of channel do it, but for the kind of lock: at first without a place in the queue, then with one.
template <fault_in_the_model Wrong> class modelled_channel final : private monitor {
  public:
    explicit modelled_channel(std::size_t capacity)
        : state_(*this, capacity) {}

    bool send(modelled_sender& one) {
        for (const bool in_line : {false, true}) {
            const std::lock_guard hold(lock_);
            if (!in_line || Wrong != fault_in_the_model::no_second_look) {
                const way found = state_.put(one.value_);
                if (found != way::blocked) return found == way::open;
            }
            if (in_line) state_.wait_to_send(one);
        }
        interleaving::wait_until([&one] { return one.settled; });
        return !one.refused;
    }
    bool receive(modelled_receiver& one) {
        for (const bool in_line : {false, true}) {
            const std::lock_guard hold(lock_);
            if (!in_line || Wrong != fault_in_the_model::no_second_look) {
                const way found = state_.take(one.value_);
                if (found != way::blocked) return found == way::open;
            }
            if (in_line) state_.wait_to_receive(one);
        }
        interleaving::wait_until([&one] { return one.settled; });
        return !one.refused;
    }
    void cancel(modelled_receiver& one) {
        const std::lock_guard hold(lock_);
        if (one.settled && Wrong != fault_in_the_model::blind_cancel) return;
        static_cast<queued&>(one).unlink();
        one.settled = true;
        one.refused = errc::cancelled;
    }
    void give_back(int value) {
        const std::lock_guard hold(lock_);
        state_.give_back(value);
    }
    void close() {
        const std::lock_guard hold(lock_);
        state_.close();
    }

  private:
    using way = channel_state<int>::way;

    model_mutex lock_;
    channel_state<int> state_;
};

// Each of so many threads sends its values 10, 11, ... or 20, 21, ..., and each of others receives so many; a thread may close the
// channel at any time.
struct traffic {
    std::size_t capacity;
    std::vector<int> sent;
    std::vector<int> received;
    unsigned most_preemptions = std::numeric_limits<unsigned>::max();
    bool closed_early = false;
};

template <fault_in_the_model Wrong = fault_in_the_model::none>
sim::explored explore_traffic(const traffic& of) {
    return sim::explore({}, {.runs = 10'000'000}, [&of](sim::world& world) {
        modelled_channel<Wrong> values(of.capacity);
        std::vector<std::vector<modelled_sender>> senders;
        std::vector<std::vector<modelled_receiver>> receivers;
        std::vector<int> sent;
        std::vector<std::vector<int>> got(of.received.size());
        for (const int count : of.sent) {
            auto& own = senders.emplace_back();
            for (int at = 0; at < count; ++at) own.emplace_back(static_cast<int>(senders.size()) * 10 + at);
        }
        for (const int count : of.received) {
            auto& own = receivers.emplace_back();
            for (int at = 0; at < count; ++at) own.emplace_back();
        }
        interleaving threads(world, of.most_preemptions);
        for (auto& own : senders)
            threads.add([&] {
                for (modelled_sender& each : own) {
                    const int value = each.value_;
                    if (values.send(each)) sent.push_back(value);
                }
            });
        for (std::size_t at = 0; at < receivers.size(); ++at)
            threads.add([&, at] {
                for (modelled_receiver& each : receivers[at])
                    if (values.receive(each)) got[at].push_back(*each.value_);
            });
        if (of.closed_early) threads.add([&] { values.close(); });
        if (!threads.run()) return false;
        std::vector<int> all;
        for (const auto& own : got) {
            for (const int sender : {1, 2}) { // in order
                const auto of_sender = [sender](int value) { return value / 10 == sender; };
                std::vector<int> part;
                std::ranges::copy_if(own, std::back_inserter(part), of_sender);
                if (!std::ranges::is_sorted(part)) return false;
            }
            all.insert(all.end(), own.begin(), own.end());
        }
        std::ranges::sort(all);
        std::ranges::sort(sent);
        return all == sent; // each once
    });
}

void check_traffic(const traffic& of) {
    const sim::explored all = explore_traffic(of);
    CAPTURE(all.runs, all.choices);
    CHECK(all.complete);
    CHECK_FALSE(all.thinned);
    CHECK(all.runs >= 20);
}

const traffic a_rendezvous{.capacity = 0, .sent = {1}, .received = {1}};
const traffic a_full_channel{.capacity = 1, .sent = {2}, .received = {2}};
const traffic many_to_many{.capacity = 1, .sent = {2, 1}, .received = {2, 1}, .most_preemptions = 1};
const traffic a_close{.capacity = 0, .sent = {1}, .received = {1}, .closed_early = true};
const traffic a_close_with_values{.capacity = 1, .sent = {2}, .received = {2}, .closed_early = true};

// A receiver that is cancelled at any time, and if it has a value by then, hands that on as a task does that never saw it.
template <fault_in_the_model Wrong = fault_in_the_model::none> sim::explored explore_cancel() {
    return sim::explore({}, {.runs = 10'000'000}, [](sim::world& world) {
        modelled_channel<Wrong> values(1);
        modelled_sender one(10);
        modelled_receiver cancelled;
        modelled_receiver other;
        bool ended = false;
        interleaving threads(world, 2);
        threads.add([&] { values.send(one); });
        threads.add([&] {
            if (values.receive(cancelled)) values.give_back(*cancelled.value_);
            ended = true;
        });
        threads.add([&] {
            interleaving::wait_until([&] { return ended || cancelled.linked(); });
            if (!ended) values.cancel(cancelled);
        });
        threads.add([&] { values.receive(other); });
        return threads.run() && other.value_ == 10;
    });
}

} // namespace

TEST_CASE("values_arrive_once_and_in_order_in_any_order_of_the_lock") {
    check_traffic(a_rendezvous);
    check_traffic(a_full_channel);
    check_traffic(many_to_many);
}

TEST_CASE("a_close_ends_all_who_wait_and_loses_no_value_in_any_order") {
    check_traffic(a_close);
    check_traffic(a_close_with_values);
}

TEST_CASE("a_receiver_that_is_cancelled_loses_no_value_in_any_order") {
    const sim::explored all = explore_cancel();
    CAPTURE(all.runs, all.choices);
    CHECK(all.complete);
    CHECK(all.runs >= 20);
}

TEST_CASE("the_model_of_a_channel_rejects_who_waits_without_a_second_look") {
    CHECK_FALSE(explore_traffic<fault_in_the_model::no_second_look>(a_rendezvous).complete);
}

TEST_CASE("the_model_of_a_channel_rejects_a_cancel_of_who_was_handed_a_value") {
    CHECK_FALSE(explore_cancel<fault_in_the_model::blind_cancel>().complete);
}
