// What tasks share (sync/), for the races of cancellation against completion.
#pragma once

#include "race_case.hpp"

namespace chainring::test {

struct plain_lock {
    std::optional<permit> try_acquire() { return of.try_lock(); }
    std::optional<permit> keep_out() { return of.try_lock(); }
    auto acquire() { return of.lock(); }
    chainring::mutex of;
};
struct lock_of_a_writer {
    std::optional<permit> try_acquire() { return of.try_lock(); }
    std::optional<permit> keep_out() { return of.try_lock_shared(); }
    auto acquire() { return of.lock(); }
    chainring::shared_mutex of;
};
struct lock_of_a_reader {
    std::optional<permit> try_acquire() { return of.try_lock_shared(); }
    std::optional<permit> keep_out() { return of.try_lock(); }
    auto acquire() { return of.lock_shared(); }
    chainring::shared_mutex of;
};
struct all_permits {
    std::optional<permit> try_acquire() { return of.try_acquire(3); }
    std::optional<permit> keep_out() { return of.try_acquire(2); }
    auto acquire() { return of.acquire(3); }
    semaphore of{3};
};

// Somebody else has it until the operation is to complete.
template <class Lock> class acquires final : public race_case {
    task<> prepare() override {
        others_ = lock_.keep_out();
        CHECK(others_.has_value());
        co_return;
    }
    task<std::error_code> operate() override {
        result<permit> held = co_await lock_.acquire();
        if (held) CHECK_FALSE(lock_.keep_out().has_value());
        co_return ended(held);
    }
    void complete() override { others_.reset(); }
    task<> check(std::error_code) override {
        CHECK(lock_.try_acquire().has_value()); // all of it
        co_return;
    }
    Lock lock_;
    std::optional<permit> others_;
};

class awaits_an_event final : public race_case {
    task<> prepare() override {
        happened_.reset();
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> waited = co_await happened_.wait();
        if (waited) CHECK(happened_.is_set());
        co_return ended(waited);
    }
    void complete() override { happened_.set(); }
    event happened_;
};

class awaits_an_auto_reset_event final : public race_case {
    task<std::error_code> operate() override {
        const result<void> waited = co_await happened_.wait();
        co_return ended(waited);
    }
    void complete() override { happened_.set(); }
    task<> check(std::error_code error) override {
        CHECK(happened_.try_wait() == static_cast<bool>(error));
        co_return;
    }
    auto_reset_event happened_;
};

template <bool arrives> class awaits_a_latch final : public race_case {
    task<> prepare() override {
        latch_.emplace(arrives ? 2 : 1);
        co_return;
    }
    task<std::error_code> operate() override {
        auto waiting = arrives ? latch_->arrive_and_wait() : latch_->wait();
        const result<void> waited = co_await waiting;
        co_return ended(waited);
    }
    void complete() override { latch_->count_down(); }
    task<> check(std::error_code error) override {
        if (!error) CHECK(latch_->try_wait());
        co_return;
    }
    std::optional<chainring::latch> latch_;
};

class arrives_at_a_barrier final : public race_case {
    task<> prepare() override {
        barrier_.emplace(2);
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> arrived = co_await barrier_->arrive_and_wait();
        co_return ended(arrived);
    }
    void complete() override { barrier_->leave(); }
    task<> check(std::error_code) override {
        const result<void> alone = co_await barrier_->arrive_and_wait();
        CHECK(alone.has_value());
    }
    std::optional<chainring::barrier> barrier_;
};

class receives_from_a_channel final : public race_case {
    task<std::error_code> operate() override {
        const result<int> received = co_await values_.receive();
        if (received) CHECK(received == 7);
        co_return ended(received);
    }
    void complete() override { CHECK(values_.try_send(7).has_value()); }
    task<> check(std::error_code error) override {
        CHECK(values_.try_receive().has_value() == static_cast<bool>(error));
        co_return;
    }
    channel<int> values_{1};
};

class sends_to_a_channel final : public race_case {
    task<> prepare() override {
        CHECK(values_.try_send(1).has_value());
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> sent = co_await values_.send(2);
        co_return ended(sent);
    }
    void complete() override { CHECK(values_.try_receive() == 1); }
    task<> check(std::error_code error) override {
        const result<int> left = values_.try_receive();
        CHECK(left.has_value() == !error);
        if (left) CHECK(left == 2);
        co_return;
    }
    channel<int> values_{1};
};

class awaits_a_oneshot final : public race_case {
    task<> prepare() override {
        answer_.emplace();
        sender_.emplace(answer_->take_sender());
        co_return;
    }
    task<std::error_code> operate() override {
        const result<int> answer = co_await answer_->receive();
        co_return ended(answer);
    }
    void complete() override { CHECK(sender_->send(7).has_value()); }
    task<> check(std::error_code error) override {
        CHECK(answer_->try_receive().has_value() == static_cast<bool>(error));
        co_return;
    }
    std::optional<oneshot<int>> answer_;
    std::optional<oneshot_sender<int>> sender_;
};

class receives_a_broadcast final : public race_case {
    task<std::error_code> operate() override {
        const result<int> received = co_await mine_.receive();
        co_return ended(received);
    }
    void complete() override { CHECK(values_.send(7).has_value()); }
    task<> check(std::error_code error) override {
        CHECK(mine_.try_receive().has_value() == static_cast<bool>(error));
        co_return;
    }
    broadcast<int> values_{2};
    broadcast_receiver<int> mine_ = values_.subscribe();
};

class sees_a_change final : public race_case {
    task<std::error_code> operate() override {
        const result<int> changed = co_await changes_.changed();
        if (changed) CHECK(changed == number_);
        co_return ended(changed);
    }
    void complete() override { CHECK(current_.set(++number_).has_value()); }
    task<> check(std::error_code error) override {
        if (!error) co_return;
        const result<int> kept = co_await changes_.changed();
        CHECK(kept == number_);
    }
    int number_ = 0;
    watch<int> current_{0};
    watch_receiver<int> changes_ = current_.subscribe();
};

class keeps_to_a_rate final : public race_case {
    task<> prepare() override {
        limiter_.emplace(1, std::chrono::microseconds(random_() % 100 + 1), 1);
        CHECK(limiter_->try_acquire());
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> acquired = co_await limiter_->acquire();
        co_return ended(acquired);
    }
    std::minstd_rand random_;
    std::optional<rate_limiter> limiter_;
};

// Notified before it waits, it waits until it is cancelled.
class awaits_a_condition final : public race_case {
    task<std::error_code> operate() override {
        result<scoped_lock> held = co_await lock_.lock();
        if (!held) co_return held.error();
        const result<void> notified = co_await changed_.wait(*held);
        CHECK(*held);
        CHECK_FALSE(lock_.try_lock().has_value());
        co_return ended(notified);
    }
    void complete() override { changed_.notify_one(); }
    task<> check(std::error_code) override {
        CHECK(lock_.try_lock().has_value());
        co_return;
    }
    chainring::mutex lock_;
    condition changed_;
};

} // namespace chainring::test
