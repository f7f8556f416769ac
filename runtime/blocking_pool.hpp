// blocking_pool: threads for work that blocks, which must not run on an executor's thread. A thread is started
// when work finds none idle, up to a limit; then work waits in a queue, up to a limit too. `offload` is how a
// coroutine uses it.
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/fork_guard.hpp>

#include <cstddef>
#include <memory>

namespace chainring {

struct blocking_pool_options {
    // Started when they are needed; 0 counts as 1. Threads that wait cost little, hence more than there are cores.
    unsigned threads = 16;
    std::size_t queue_limit = 1024; // pieces of work that wait for a thread; more are refused
};

class blocking_pool {
  public:
    explicit blocking_pool(const blocking_pool_options& options = {});
    // Work that waits for a thread is refused (errc::closed); work that runs is let end, which this waits for.
    ~blocking_pool();
    blocking_pool(const blocking_pool&) = delete;
    blocking_pool& operator=(const blocking_pool&) = delete;

    // From any thread.
    unsigned threads() const;   // started so far
    std::size_t queued() const; // pieces of work that no thread has taken

  private:
    friend class blocking_work;
    friend blocking_pool& default_blocking_pool();
    class workers;
    std::shared_ptr<workers> workers_; // of the pool and of all work made for it
    fork_guard made_in_;
};

// The process's own, made when it is first asked for. A forked child has another one; work for any other pool of its parent's ends it.
blocking_pool& default_blocking_pool();

struct blocking_work_tag;

// A piece of work and its way through a pool: queued, running, posted to the executor that it came from. It
// lies in the memory of whoever waits for it there.
class blocking_work : private list_node<blocking_work_tag>, private posted_work {
  protected:
    explicit blocking_work(const blocking_pool& pool) noexcept
        : workers_(pool.workers_)
        , made_in_(pool.made_in_) {}
    blocking_work(blocking_work&&) noexcept = default;
    ~blocking_work() { assert(home_ == nullptr); }

    // The rest on the executor's thread.

    // Hands it to the pool: `settled` follows, unless this fails, or one of the next two takes it back.
    // errors: errc::queue_full; errc::closed; EAGAIN: no thread could be started
    fault submit(executor& home) noexcept;
    // True: it was still queued, and will not run.
    bool withdraw() noexcept;
    // Withdraws it or waits for its end. Every derived class calls it in its destructor.
    void end() noexcept {
        if (home_ != nullptr) wait_for_end();
    }

  private:
    friend class blocking_pool;
    template <class T, class Tag> friend class intrusive_list;

    enum class state : std::uint8_t { idle, queued, running, posted };

    // On a thread of the pool.
    virtual void execute() noexcept = 0;
    // It was executed, or `refused`.
    virtual void settled(fault refused) noexcept = 0;

    void post(fault refused) noexcept;
    void run() noexcept override;
    void wait_for_end() noexcept;
    void leave() noexcept;

    std::shared_ptr<blocking_pool::workers> workers_;
    fork_guard made_in_;
    executor* home_ = nullptr;  // while it is with the pool or in the inbox
    state state_ = state::idle; // guarded by the pool's mutex, as is `refused_`
    fault refused_;
};

} // namespace chainring
