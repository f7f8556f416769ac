// A suspended coroutine and what it waits for. A waiter is in exactly one list: its scope's while it waits,
// so that the scope can cancel it; the executor's ready queue once it may go on; none while it runs.
#pragma once

#include <chainring/runtime/intrusive_list.hpp>

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <utility>

namespace chainring {

struct waiter_tag;

class waiter : public list_node<waiter_tag> {
  public:
    // Called from the ready queue, on the executor's thread.
    virtual void resume() noexcept { go_on(); }

    // On this thread: always 0, or a bug.
    static std::uint64_t second_resumptions() noexcept { return second_resumptions_; }

    // The scope was cancelled. What the operation did by then decides its result, so a waiter whose operation
    // is with the kernel asks for an end and goes on waiting for it.
    virtual void cancel() noexcept = 0;

  protected:
    waiter() noexcept = default;
    waiter(waiter&&) noexcept = default;
    ~waiter() = default; // leaves whatever list it is in

    // Whoever waits is resumed once; a second time is a bug, which is counted rather than run into.
    void go_on() noexcept {
        const std::coroutine_handle<> suspended = std::exchange(coroutine_, nullptr);
        assert(suspended && !suspended.done());
        if (suspended) [[likely]]
            suspended.resume();
        else
            ++second_resumptions_;
    }

    std::coroutine_handle<> coroutine_; // null: it has been resumed

  private:
    static inline constinit thread_local std::uint64_t second_resumptions_ = 0;
};

using waiter_list = intrusive_list<waiter, waiter_tag>;

} // namespace chainring
