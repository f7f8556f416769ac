// named: a task that executor::dump shows by a name.
//
//     sessions.spawn(cr::named("session " + peer.to_string(), serve(std::move(stream))));
#pragma once

#include <chainring/runtime/task.hpp>

#include <string>

namespace chainring {

namespace detail {

template <class T> class named_waiter final : public task_waiter<T> {
  public:
    named_waiter(const std::string& name, task<T> called) noexcept
        : task_waiter<T>(called.release())
        , name_(name) {}

    void describe(task_tree& to) const override { this->describe_as(to, name_); }

  private:
    const std::string& name_;
};

} // namespace detail

// A task which does what `called` does. Costs one frame more.
template <class T> task<T> named(std::string name, task<T> called) {
    co_return co_await detail::named_waiter<T>(name, std::move(called));
}

} // namespace chainring
