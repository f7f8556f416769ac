// for_each_executor: the same task on each executor of the runtime, as a server that is to use all cores.
//
//     co_await cr::try_(cr::for_each_executor([&port] { return serve(port); }));
#pragma once

#include <chainring/runtime/runtime.hpp>
#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/spawn_on.hpp>

#include <concepts>

namespace chainring {

namespace detail {

template <class Make> task<result<void>> instance_on(executor& there, Make make) {
    auto running = spawn_on(there, std::move(make));
    const result<void> ended = co_await std::move(running);
    co_return ended;
}

} // namespace detail

// What makes a task without a value on each executor: a copy of it is called there, by one thread at a time, but all of them at
// the same time.
template <class Make>
concept makes_instances =
    makes_task<Make> && std::copy_constructible<Make> &&
    std::is_void_v<typename as_result<typename std::invoke_result_t<Make&>::value_type>::value_type>;

// Starts the executors, if they have not been started.
//
// completes when: all instances have ended
// errors:         the first failure of an instance, which cancels the others; an exception is rethrown. Throws std::logic_error on an
//                 executor that belongs to no runtime, and what runtime::at throws
// cancellation:   reaches all instances; the first error that it leads to is the outcome
// ownership:      of `make`. What it refers to is used by all threads
// thread:         any executor's of the runtime
template <makes_instances Make> task<result<void>> for_each_executor(Make make) {
    runtime& whole = this_runtime();
    co_return co_await scope([&](task_group& instances) -> task<result<void>> {
        for (unsigned number = 0; number < whole.size(); ++number)
            instances.spawn(detail::instance_on(whole.at(number), make));
        co_return result<void>();
    });
}

} // namespace chainring
