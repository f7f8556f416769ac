// epoll_embedding: an executor within a loop around epoll_wait(2).
//
//     cr::executor home;
//     cr::epoll_embedding embedded(home, epoll);
//     cr::spawn(home, serve(at), [&](cr::ended_task<void>) { done = true; });
//     while (!done) {
//         epoll_event events[64];
//         const int count = epoll_wait(epoll, events, 64, embedded.timeout());
//         for (const epoll_event& event : std::span(events, std::max(count, 0)))
//             if (!embedded.takes(event)) handle(event); // one of your own
//         embedded.run();
//     }
//
// Destroy the executor, the embedding and the epoll descriptor in any order.
#pragma once

#include <chainring/runtime/embedding.hpp>

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace chainring {

class epoll_embedding final : public embedding {
  public:
    // On the loop's thread. Throws what embedding does, and std::system_error where `epoll` takes no descriptor. The executor's
    // events carry this object's address in data.ptr.
    epoll_embedding(executor& home, int epoll)
        : embedding(home)
        , epoll_(epoll) {
        epoll_event woken{.events = EPOLLIN, .data = {.ptr = this}};
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, handle(), &woken) != 0)
            throw std::system_error(from_errno(errno), "epoll_ctl");
    }
    ~epoll_embedding() { stop(); }

    // How long epoll_wait may wait, in milliseconds: `longest` (-1: without a limit) or less.
    int timeout(int longest = -1) const noexcept {
        if (stopped()) return longest;
        if (runs_) return 0;
        const std::optional<time_point> next = next_deadline();
        if (!next) return longest;
        // No sooner than the deadline: the loop would turn without a pause until then.
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - clock::now());
        const auto most = longest < 0 ? INT_MAX : longest;
        return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, most));
    }

    // Whether it is the executor's event and not one of the loop's own.
    bool takes(const epoll_event& event) noexcept {
        if (event.data.ptr != this) return false;
        runs_ = true;
        return true;
    }

    // Behind each epoll_wait, whatever that has returned: lets the executor run if it has to. Throws std::logic_error on
    // another thread than the one that made this, and within a turn of the executor.
    void run() {
        if (stopped()) return;
        if (!runs_) {
            const std::optional<time_point> next = next_deadline();
            if (!next || *next > clock::now()) return;
        }
        runs_ = pump();
    }

  private:
    using clock = time_point::clock;

    // A loop that has closed its epoll descriptor has done so by itself: the error says no more.
    void leave_loop() noexcept override { (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, handle(), nullptr); }

    int epoll_;
    bool runs_ = true; // without waiting; at first for what was there before
};

} // namespace chainring
