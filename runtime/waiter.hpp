// A suspended coroutine and what it waits for. A waiter is in exactly one list: its scope's while it waits,
// so that the scope can cancel it; the executor's ready queue once it may go on; none while it runs.
#pragma once

#include <chainring/runtime/intrusive_list.hpp>

#include <cassert>
#include <coroutine>

namespace chainring {

struct waiter_tag;

class waiter : public list_node<waiter_tag> {
  public:
    // Called from the ready queue, on the executor's thread.
    virtual void resume() noexcept {
        assert(!coroutine_.done());
        coroutine_.resume();
    }

    // The scope was cancelled. What the operation did by then decides its result, so a waiter whose operation
    // is with the kernel asks for an end and goes on waiting for it.
    virtual void cancel() noexcept = 0;

  protected:
    waiter() noexcept = default;
    waiter(waiter&&) noexcept = default;
    ~waiter() = default; // leaves whatever list it is in

    std::coroutine_handle<> coroutine_;
};

using waiter_list = intrusive_list<waiter, waiter_tag>;

} // namespace chainring
