#include <chainring/runtime/blocking_pool.hpp>

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace chainring {

namespace {

// For threads started while it lives. A signal is for the program's own threads, whose calls it may
// interrupt. Faults are a thread's own: one that is blocked kills the process without a word.
class signals_blocked {
  public:
    signals_blocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

  private:
    sigset_t before_{};
};

} // namespace

class blocking_pool::workers {
  public:
    explicit workers(const blocking_pool_options& options)
        : most_threads_(std::max(options.threads, 1U))
        , queue_limit_(options.queue_limit) {}

    fault submit(blocking_work& work) noexcept {
        const std::lock_guard lock(mutex_);
        if (closing_) return errc::closed;
        const std::size_t free = idle_ + (most_threads_ - threads_.size());
        if (queued_ >= free && queued_ - free >= queue_limit_) return errc::queue_full;
        if (queued_ >= idle_ && threads_.size() < most_threads_ && !start_thread() && threads_.empty())
            return fault::from_errno(EAGAIN);
        work.state_ = blocking_work::state::queued;
        queue_.push_back(work);
        ++queued_;
        arrived_.notify_one();
        return {};
    }

    bool withdraw(blocking_work& work) noexcept {
        const std::lock_guard lock(mutex_);
        return remove_queued(work);
    }

    // On its executor's thread. In the end no thread of the pool knows it, and it is in no inbox.
    void end(blocking_work& work, executor& home) noexcept {
        std::unique_lock lock(mutex_);
        if (remove_queued(work)) return;
        ended_.wait(lock, [&work] { return work.state_ == blocking_work::state::posted; });
        home.withdraw(work);
        work.state_ = blocking_work::state::idle;
    }

    // On its executor's thread, which must not go on, and perhaps end, before the thread that posted has left
    // the executor's inbox.
    fault let_go(blocking_work& work) noexcept {
        const std::lock_guard lock(mutex_);
        assert(work.state_ == blocking_work::state::posted);
        work.state_ = blocking_work::state::idle;
        return work.refused_;
    }

    void close() noexcept {
        {
            const std::lock_guard lock(mutex_);
            closing_ = true;
            for (; queued_ != 0; --queued_) queue_.pop_front().post(errc::closed);
        }
        arrived_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    unsigned threads() const {
        const std::lock_guard lock(mutex_);
        return static_cast<unsigned>(threads_.size());
    }
    std::size_t queued() const {
        const std::lock_guard lock(mutex_);
        return queued_;
    }

  private:
    bool start_thread() noexcept {
        const signals_blocked inherited;
        try {
            threads_.emplace_back([this] { serve(); });
        } catch (const std::exception&) {
            return false; // no memory, or the system's limit
        }
        ++idle_;
        return true;
    }

    bool remove_queued(blocking_work& work) noexcept {
        if (work.state_ != blocking_work::state::queued) return false;
        work.unlink();
        --queued_;
        work.state_ = blocking_work::state::idle;
        return true;
    }

    void serve() noexcept {
        std::unique_lock lock(mutex_);
        for (;;) {
            arrived_.wait(lock, [this] { return closing_ || queued_ != 0; });
            if (queued_ == 0) return;
            blocking_work& work = queue_.pop_front();
            assert(work.state_ == blocking_work::state::queued);
            work.state_ = blocking_work::state::running;
            --queued_;
            --idle_;
            lock.unlock();
            work.execute();
            lock.lock();
            ++idle_;
            work.post({});
            ended_.notify_all();
        }
    }

    const std::size_t most_threads_;
    const std::size_t queue_limit_;
    mutable std::mutex mutex_;
    std::condition_variable arrived_; // work, or the end
    std::condition_variable ended_;   // work
    intrusive_list<blocking_work, blocking_work_tag> queue_;
    std::size_t queued_ = 0;
    std::size_t idle_ = 0; // threads without work; one that was just told of some is still among them
    std::vector<std::thread> threads_;
    bool closing_ = false;
};

blocking_pool::blocking_pool(const blocking_pool_options& options)
    : workers_(std::make_shared<workers>(options)) {}

blocking_pool::~blocking_pool() {
    if (!made_in_.in_child()) {
        workers_->close();
        return;
    }
    // The threads are the parent's, and so may be the lock: of both a forked child has only the memory, which stays.
    struct left {
        std::shared_ptr<workers> all;
        const left* before;
    };
    static constinit const left* left_to_the_parent = nullptr;
    left_to_the_parent = new left{.all = workers_, .before = left_to_the_parent};
}

unsigned blocking_pool::threads() const {
    return workers_->threads();
}
std::size_t blocking_pool::queued() const {
    return workers_->queued();
}

blocking_pool& default_blocking_pool() {
    static blocking_pool first;
    if (!first.made_in_.in_child()) return first;
    // A forked child has one of its own, to its end.
    static constinit std::atomic<blocking_pool*> newest = nullptr;
    blocking_pool* here = newest;
    while (here == nullptr || here->made_in_.in_child()) {
        auto made = std::make_unique<blocking_pool>();
        if (newest.compare_exchange_strong(here, made.get())) here = made.release();
    }
    return *here;
}

fault blocking_work::submit(executor& home) noexcept {
    assert(home_ == nullptr);
    if (made_in_.in_child()) fork_guard::end_child();
    home.behind().about_to_leave("a thread for blocking work (offload, or resolve of a name)");
    home_ = &home; // first: it may be executed and posted before submit returns
    if (const fault refused = workers_->submit(*this)) {
        home_ = nullptr;
        return refused;
    }
    home.post_expected();
    return {};
}

bool blocking_work::withdraw() noexcept {
    if (!workers_->withdraw(*this)) return false;
    leave();
    return true;
}

void blocking_work::wait_for_end() noexcept {
    workers_->end(*this, *home_);
    leave();
}

// Under the pool's mutex.
void blocking_work::post(fault refused) noexcept {
    refused_ = refused;
    state_ = state::posted;
    home_->post(static_cast<posted_work&>(*this));
}

void blocking_work::run() noexcept {
    const fault refused = workers_->let_go(*this);
    leave();
    settled(refused);
}

void blocking_work::leave() noexcept {
    home_->post_arrived();
    home_ = nullptr;
}

} // namespace chainring
