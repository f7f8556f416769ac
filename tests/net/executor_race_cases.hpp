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
    auto there = spawn_on(*executor::current(), [from, into] { return read_plainly(from, into); });
    const result<int> read = co_await std::move(there);
    co_return read;
}

// To an executor that takes no work, and so back to the own one: as a task that another thread has brought.
class goes_and_comes_back final : public race_case {
    struct closed_executor {
        executor home{{}, test_kernel()};
        int round = 0; // odd: somebody wants it to run
        closed_executor() {
            (void)home.native_handle(); // of this thread
            home.refuse_work();
        }
    };
    struct wants {
        closed_executor& other;
        explicit wants(const std::shared_ptr<closed_executor>& wanted)
            : other(*wanted) {
            serve(*executor::current(), wanted, ++other.round);
        }
        ~wants() { ++other.round; }
        wants(const wants&) = delete;
        wants& operator=(const wants&) = delete;

        // In every turn.
        static void serve(executor& here, std::shared_ptr<closed_executor> closed, int round) {
            here.post([&here, closed = std::move(closed), round] {
                closed->home.run_posts();
                if (closed->round == round) serve(here, closed, round);
            });
        }
    };

    task<std::error_code> operate() override {
        const wants served(closed_);
        executor& here = *executor::current();
        const auto goes = [](executor& there, executor& back) -> task<result<void>> {
            const result<void> gone = co_await resume_on(there);
            if (gone != failure(errc::executor_ended)) co_return gone;
            co_return co_await resume_on(back);
        };
        const result<void> gone = co_await goes(closed_->home, here);
        CHECK(executor::current() == &here);
        co_return ended(gone);
    }
    std::shared_ptr<closed_executor> closed_ = std::make_shared<closed_executor>();
};

class moves_a_connection final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await pair_for_a_race());
        got_.clear();
    }
    task<std::error_code> operate() override {
        auto moving = move_to(
            *executor::current(), std::move(pair_->stream),
            [this](over_any::stream peer) -> task<result<void>> {
                const buffer chunk = co_await try_(peer.receive());
                got_ = chunk.text();
                co_return result<void>();
            });
        const result<void> moved = co_await std::move(moving);
        co_return ended(moved);
    }
    void complete() override { (void)pair_->peer.send("x"); } // it may have been closed by then
    task<> check(std::error_code error) override {
        if (!error) CHECK(got_ == "x");
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<over_any>> pair_;
    std::string got_;
};

} // namespace chainring::test
