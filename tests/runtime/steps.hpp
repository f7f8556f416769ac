// Awaitables with which a test decides in which step of a turn it goes on, and what several tests need to
// wait on.
//
// Never `CHECK(co_await ...)`: Catch2 names the expression several times in a CHECK, and GCC 12 awaits each
// of them.
#pragma once

#include "kernel_under_test.hpp"

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/uring.hpp>
#include <chainring/runtime/yield.hpp>

#include <catch2/catch_test_macros.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chainring::test {

// Goes on in the next turn, ahead of all that the end of this turn made ready.
class next_turn : public waiter, private posted_work {
  public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(
        std::coroutine_handle<Promise> caller,
        std::source_location where = std::source_location::current()) noexcept {
        suspend(caller, where);
        home_ = &caller.promise().scope().home();
        home_->post(static_cast<posted_work&>(*this));
    }
    void await_resume() const noexcept {}
    void cancel() noexcept override {}

  protected:
    virtual bool satisfied(executor&) { return true; }

  private:
    void run() noexcept override {
        if (satisfied(*home_))
            home_->ready().push_next(*this);
        else
            home_->post(static_cast<posted_work&>(*this));
    }

    executor* home_ = nullptr;
};

// Goes on when every operation's terminal CQE has been reaped, before any coroutine that they made ready has
// run.
class everything_reaped final : public next_turn {
    bool satisfied(executor& home) override { return home.stats().operations_in_flight == 0; }
};

// Waits until somebody opens it; no cancellation reaches it.
class gate {
  public:
    class pass final : public waiter {
      public:
        explicit pass(gate& through) noexcept
            : gate_(through) {}
        bool await_ready() const noexcept { return gate_.open_; }
        template <class Promise>
        void await_suspend(
            std::coroutine_handle<Promise> caller,
            std::source_location where = std::source_location::current()) noexcept {
            suspend(caller, where);
            home_ = &caller.promise().scope().home();
            gate_.waiting_.push_back(*this);
        }
        void await_resume() const noexcept {}
        void cancel() noexcept override {}

      private:
        friend class gate;
        gate& gate_;
        executor* home_ = nullptr;
    };

    pass operator co_await() noexcept { return pass(*this); }
    void open() noexcept {
        open_ = true;
        while (!waiting_.empty()) {
            auto& next = static_cast<pass&>(waiting_.pop_front());
            next.home_->ready().push(next);
        }
    }

  private:
    bool open_ = false;
    waiter_list waiting_;
};

// Both ends of a pipe; reads wait until something was written. On the simulated kernel, which has no pipes, those of a unix stream.
class pipe_ends {
  public:
    pipe_ends() {
        if (simulation_ != nullptr) {
            const auto [near, far] = simulation_->connected_pair(AF_UNIX, SOCK_STREAM);
            ends_[0] = near;
            ends_[1] = far;
        } else {
            REQUIRE(::pipe2(ends_, O_CLOEXEC) == 0);
        }
    }
    ~pipe_ends() {
        for (const int end : ends_) simulation_ != nullptr ? simulation_->close(end) : ::close(end);
    }
    pipe_ends(const pipe_ends&) = delete;
    pipe_ends& operator=(const pipe_ends&) = delete;

    int reading() const noexcept { return ends_[0]; }
    int writing() const noexcept { return ends_[1]; }
    void write(std::string_view text) const {
        const ssize_t written = simulation_ != nullptr ? simulation_->send(ends_[1], text.data(), text.size())
                                                       : ::write(ends_[1], text.data(), text.size());
        REQUIRE(written == static_cast<ssize_t>(text.size()));
    }
    // What nobody has read.
    std::string left() const {
        char text[256];
        const ssize_t size = simulation_ != nullptr ? simulation_->receive(ends_[0], text, sizeof text)
                                                    : read_what_is_there(text);
        return {text, static_cast<std::size_t>(size < 0 ? 0 : size)};
    }

  private:
    ssize_t read_what_is_there(std::span<char> text) const {
        ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
        const ssize_t size = ::read(ends_[0], text.data(), text.size());
        ::fcntl(ends_[0], F_SETFL, 0);
        return size;
    }

    sim::simulated_kernel* simulation_ = simulated_test_kernel();
    int ends_[2] = {-1, -1};
};

// Of a pipe.
inline void prepare_read(io_uring_sqe& sqe, int descriptor, void* memory, std::size_t size) {
    if (simulated_test_kernel() != nullptr)
        io_uring_prep_recv(&sqe, descriptor, memory, size, 0);
    else
        io_uring_prep_read(&sqe, descriptor, memory, static_cast<unsigned>(size), 0);
}

inline auto read_into(int descriptor, std::span<char> memory) {
    return uring([descriptor, memory](io_uring_sqe& sqe) {
        prepare_read(sqe, descriptor, memory.data(), memory.size());
    });
}

inline auto no_operation() {
    return uring([](io_uring_sqe& sqe) { io_uring_prep_nop(&sqe); });
}

// The order in which `count` no-ops, all started in one turn, let their tasks go on.
inline std::vector<int> completion_order(executor& used, int count) {
    std::vector<int> order;
    used.run([](std::vector<int>& to, int many) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < many; ++number) {
                group.spawn([](std::vector<int>& log, int own) -> task<> {
                    (void)co_await no_operation();
                    log.push_back(own);
                }(to, number));
            }
            co_return;
        });
    }(order, count));
    return order;
}

} // namespace chainring::test
