// The epoll descriptor of the hand-written epoll contestants. Each event comes back with whom it is for.
#pragma once

#include "listening.hpp"

#include <sys/epoll.h>

#include <array>

namespace peers {

class epoll_set {
  public:
    void watch(int descriptor, std::uint32_t interest, void* owner) {
        control(EPOLL_CTL_ADD, descriptor, interest, owner);
    }
    void watch_instead(int descriptor, std::uint32_t interest, void* owner) {
        control(EPOLL_CTL_MOD, descriptor, interest, owner);
    }

    // handle(owner, events) for each; sleeps until there is one, unless `at_once`.
    template <class Handle> void wait(bool at_once, Handle handle) {
        ++system_calls_;
        const int count = epoll_wait(epoll_, events_.data(), events_.size(), at_once ? 0 : -1);
        if (count < 0 && errno != EINTR) checked(count, "epoll_wait");
        for (int i = 0; i < count; ++i) handle(events_[i].data.ptr, events_[i].events);
    }

    unsigned long long system_calls() const { return system_calls_; }

  private:
    void control(int what, int descriptor, std::uint32_t interest, void* owner) {
        epoll_event event{.events = interest, .data = {.ptr = owner}};
        ++system_calls_;
        checked(epoll_ctl(epoll_, what, descriptor, &event), "epoll_ctl");
    }

    int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    std::array<epoll_event, 512> events_;
    unsigned long long system_calls_ = 0;
};

} // namespace peers
