// per_executor<T>: one T for each executor of a runtime, which is that executor's own and needs no lock.
//
//     auto counters = co_await cr::try_(cr::per_executor<table>::make([] { return table(); }));
//     counters.local().count(name);                                                   // that of this executor
//     auto asking = cr::call_on(shard_of(name), [&] { return counters.local().count(name); });
//     const cr::result<long> counted = co_await std::move(asking);                    // that of another one
#pragma once

#include <chainring/runtime/call_on.hpp>
#include <chainring/runtime/errand.hpp>
#include <chainring/runtime/runtime.hpp>

#include <concepts>
#include <memory>
#include <stdexcept>
#include <vector>

namespace chainring {

// Move-only. It must end before the runtime does, and each T is destroyed on its own executor's thread, which that waits for.
template <class T> class per_executor {
  public:
    // Each T is what `make()` returns on its own thread, in place; it need not be movable. Starts the executors.
    //
    // completes when: all are made
    // errors:         errc::cancelled, errc::executor_ended; an exception of `make` is rethrown. Those that were made are destroyed
    // cancellation:   between two of them
    // ownership:      of `make`; the T are the per_executor's
    // thread:         any executor's of the runtime
    template <std::invocable Make>
        requires std::same_as<std::invoke_result_t<Make&>, T>
    static task<result<per_executor>> make(Make make) {
        runtime& whole = this_runtime();
        per_executor all;
        all.places_.reserve(whole.size());
        for (unsigned number = 0; number < whole.size(); ++number) {
            place& next = all.places_.emplace_back(whole.at(number));
            auto making = call_on(next.home(), [&next, &make] { next.make(make); });
            const result<void> made = co_await std::move(making);
            if (!made) co_return failure(made.error());
        }
        co_return result<per_executor>(std::move(all));
    }

    // Throws std::logic_error on an executor that has none.
    T& local() {
        executor& here = this_executor();
        if (here.number() >= places_.size() || &places_[here.number()].home() != &here)
            throw std::logic_error("per_executor::local: this executor belongs to another runtime");
        return places_[here.number()].value();
    }

  private:
    class place {
      public:
        explicit place(executor& home) noexcept
            : home_(&home) {}
        place(place&& other) noexcept = default;
        place& operator=(place&&) = delete;
        ~place() {
            if (value_ == nullptr) return;
            destruction last(value_);
            last.send_and_wait(*home_);
        }

        executor& home() const noexcept { return *home_; }
        template <class Make> void make(Make& make) { value_.reset(new T(make())); }
        T& value() noexcept { return *value_; }

      private:
        class destruction final : public errand {
          public:
            explicit destruction(std::unique_ptr<T>& value) noexcept
                : value_(value) {}
            bool carry_out(stack) noexcept override {
                value_.reset();
                finish();
                return true;
            }

          private:
            std::unique_ptr<T>& value_;
        };

        executor* home_;
        std::unique_ptr<T> value_; // on its own cache lines, of its own thread's heap
    };

    per_executor() = default;

    std::vector<place> places_;
};

} // namespace chainring
