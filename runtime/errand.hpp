// Something that has to be done on another executor's thread before a destructor may go on: the end of what runs there and uses
// what is destroyed here.
//
// A thread that waits for its errand does those of others meanwhile, and nothing else. So two executors may each destroy what the
// other one runs.
#pragma once

#include <chainring/runtime/inbox.hpp>
#include <chainring/runtime/intrusive_list.hpp>

namespace chainring {

class executor;
struct errand_tag;

class errand : private posted_work, private list_node<errand_tag> {
  public:
    // Where a task may be on the stack below, which cannot be destroyed then, or not.
    enum class stack : bool { empty, in_use };

    errand() noexcept = default;
    errand(const errand&) = delete;
    errand& operator=(const errand&) = delete;

    // Returns when it is finished. Where that executor is this thread's, it is carried out here; else in its next turn, or
    // while its thread waits for an errand of its own. An executor that takes no turns keeps its sender waiting.
    void send_and_wait(executor& to) noexcept;

    // On that executor's thread, by `carry_out` or later.
    void finish() noexcept;

  protected:
    ~errand() = default;

    // False: it is carried out again in the executor's next turn, when the stack is empty. True: it is finished, or will be.
    virtual bool carry_out(stack below) noexcept = 0;

  private:
    template <class T, class Tag> friend class intrusive_list;

    void run() noexcept override;
    void do_here(stack below) noexcept;

    executor* to_ = nullptr;
    bool finished_ = false;
};

} // namespace chainring
