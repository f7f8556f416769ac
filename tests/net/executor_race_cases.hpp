// What goes to another executor, for the races of cancellation against completion. Here that is the own one: it is posted to as
// any other, and a round can be repeated. Several threads race in tests/runtime/executors_test.cpp.
#pragma once

#include "race_case.hpp"

namespace chainring::test {

class calls_an_executor final : public race_case {
    task<> prepare() override {
        calls_ = 0;
        co_return;
    }
    task<std::error_code> operate() override {
        auto calling = call_on(*executor::current(), [this] { return ++calls_; });
        const result<int> called = co_await std::move(calling);
        co_return ended(called);
    }
    task<> check(std::error_code error) override {
        CHECK(calls_ == (error ? 0 : 1));
        co_return;
    }
    int calls_ = 0;
};

inline task<result<int>> read_elsewhere(int from, std::span<char> into) {
    auto reading = spawn_on(*executor::current(), [from, into] { return read_plainly(from, into); });
    const result<int> read = co_await std::move(reading);
    co_return read;
}

// To an executor that takes no work, and so back to the own one: as a task that another thread has brought.
class goes_and_comes_back final : public race_case {
    task<std::error_code> operate() override {
        const result<void> gone = co_await resume_on(closed_);
        if (gone != failure(errc::executor_ended)) co_return ended(gone);
        const result<void> back = co_await resume_on(*home_);
        co_return ended(back);
    }
    void complete() override { closed_.run_posts(); }
    task<> prepare() override {
        home_ = executor::current();
        (void)closed_.native_handle(); // of this thread
        closed_.refuse_work();
        co_return;
    }
    executor* home_ = nullptr;
    executor closed_{{}, test_kernel()};
};

template <class Over> class moves_a_connection final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await pair_for_a_race<Over>());
        got_.clear();
    }
    task<std::error_code> operate() override {
        auto moving = move_to(
            *executor::current(), std::move(pair_->stream),
            [this](typename Over::stream peer) -> task<result<void>> {
                const buffer chunk = co_await try_(peer.receive());
                got_ = chunk.text();
                co_return result<void>();
            });
        const result<void> moved = co_await std::move(moving);
        co_return ended(moved);
    }
    void complete() override { CHECK(pair_->peer.send("x")); }
    task<> check(std::error_code error) override {
        if (!error) CHECK(got_ == "x");
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<Over>> pair_;
    std::string got_;
};

} // namespace chainring::test
