// A piece of work for another executor and its way there and back: what call_on, spawn_on and resume_on have in common.
//
//     idle -> travelling -> there -> settled -> idle
//                 ^          |
//                 +----------+   a task that goes on to the next executor (resume_on)
//
// It lies in the memory of whoever awaits it, and is itself what is posted: nothing is allocated. A mutex decides between what
// the two threads do to it at the same moment; whoever posts holds it, and who was posted to takes it once before he goes on. So
// neither the awaiter nor its executor can end while the other thread is still inside the inbox.
#pragma once

#include <chainring/runtime/errand.hpp>
#include <chainring/runtime/executor.hpp>

#include <mutex>

namespace chainring {

class remote_work : private posted_work {
  public:
    remote_work& operator=(const remote_work&) = delete;

  protected:
    explicit remote_work(executor& to) noexcept
        : at_(&to) {}
    remote_work(remote_work&& other) noexcept // before it is sent
        : at_(other.at_) {}
    ~remote_work() { assert(home_ == nullptr); }

    // On the awaiter's thread.

    // `settled` follows, unless `end` comes before.
    void send(executor& home) noexcept;
    // Whatever it does by then is its outcome.
    void ask_to_end() noexcept;
    // Ends it, wherever it is. Every derived class calls it in its destructor.
    void end() noexcept {
        if (home_ != nullptr) wait_for_end();
    }
    virtual void settled(fault refused) noexcept = 0;

    // On the thread of the executor that it has come to.

    // It is to settle there, now or later; `asked_to_end` if it was so on its way.
    virtual void arrived(executor& there, bool asked_to_end) noexcept = 0;
    // That executor takes no work. True: it settles with that; otherwise it has gone on.
    virtual bool refused_by(executor&) noexcept { return true; }
    virtual void asked_to_end_there() noexcept {}
    // The awaiter is being destroyed. False: it is in use on the stack, which will be empty in the next turn.
    virtual bool destroy_there(errand::stack below) noexcept = 0;
    // The same for what was taken back before it had arrived.
    virtual void destroy_on_its_way() noexcept {}

    // It may be gone afterwards.
    void settle(fault refused) noexcept;
    // After `leave()`, which leaves that executor. False: it cannot, as its awaiter is being destroyed.
    template <class Leave> bool go_on_to(executor& next, Leave leave) noexcept {
        const std::lock_guard lock(mutex_);
        assert(state_ == state::there);
        if (ending_) return false;
        leave();
        take_request_back();
        at_ = &next;
        state_ = state::travelling;
        next.post(static_cast<posted_work&>(*this));
        return true;
    }
    executor& home() const noexcept { return *home_; }

  private:
    enum class state : std::uint8_t { idle, travelling, there, settled };

    class request final : public posted_work {
      public:
        explicit request(remote_work& to_end) noexcept
            : work_(to_end) {}
        void run() noexcept override { work_.request_arrived(); }

      private:
        remote_work& work_;
    };
    class last_errand final : public errand {
      public:
        explicit last_errand(remote_work& to_end) noexcept
            : work_(to_end) {}
        bool carry_out(stack below) noexcept override { return work_.end_there(*this, below); }

      private:
        remote_work& work_;
    };

    void run() noexcept override;
    void request_arrived() noexcept;
    void take_request_back() noexcept;
    void wait_for_end() noexcept;
    bool end_there(errand& asked_by, errand::stack below) noexcept;

    std::mutex mutex_;
    executor* home_ = nullptr; // while it is on its way
    executor* at_;             // where it is, or on its way to. From here on with the lock
    state state_ = state::idle;
    bool asked_to_end_ = false;
    bool request_posted_ = false; // to at_
    bool ending_ = false;
    fault refused_;
    request request_{*this};
};

} // namespace chainring
