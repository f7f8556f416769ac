// The kernel under test, or another one, with something changed: who derives from it overrides what is to be seen or played.
#pragma once

#include "../kernel_under_test.hpp"

namespace chainring::test {

class forwarding_kernel : public kernel {
  public:
    explicit forwarding_kernel(kernel& behind = test_kernel())
        : real_(behind) {}

    int open_ring(io_uring& ring, const ring_options& options) noexcept override {
        return real_.open_ring(ring, options);
    }
    int enable_ring(io_uring& ring) noexcept override { return real_.enable_ring(ring); }
    void leave_ring(io_uring& ring) noexcept override { real_.leave_ring(ring); }
    void close_ring(io_uring& ring) noexcept override { real_.close_ring(ring); }
    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        return real_.enter(ring, to_submit, wait, flags);
    }
    int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept override {
        return real_.register_buffer_ring(ring, registration);
    }
    int unregister_buffer_ring(io_uring& ring, unsigned group) noexcept override {
        return real_.unregister_buffer_ring(ring, group);
    }
    bool sends_bundles() noexcept override { return real_.sends_bundles(); }
    int register_direct_table(io_uring& ring, unsigned places) noexcept override {
        return real_.register_direct_table(ring, places);
    }
    int register_event(io_uring& ring, int event) noexcept override {
        return real_.register_event(ring, event);
    }
    int open_socket(int family, int type, int protocol) noexcept override {
        return real_.open_socket(family, type, protocol);
    }
    int bind(int descriptor, const sockaddr* address, socklen_t length) noexcept override {
        return real_.bind(descriptor, address, length);
    }
    int listen(int descriptor, int backlog) noexcept override { return real_.listen(descriptor, backlog); }
    int connect(int descriptor, const sockaddr* to, socklen_t length) noexcept override {
        return real_.connect(descriptor, to, length);
    }
    int shutdown(int descriptor, int how) noexcept override { return real_.shutdown(descriptor, how); }
    int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept override {
        return real_.set_option(descriptor, level, name, value, length);
    }
    int get_option(int descriptor, int level, int name, void* value, socklen_t& length) noexcept override {
        return real_.get_option(descriptor, level, name, value, length);
    }
    int local_address(int descriptor, sockaddr* address, socklen_t& length) noexcept override {
        return real_.local_address(descriptor, address, length);
    }
    int peer_address(int descriptor, sockaddr* address, socklen_t& length) noexcept override {
        return real_.peer_address(descriptor, address, length);
    }
    int unread(int descriptor) noexcept override { return real_.unread(descriptor); }
    int close_on_exec(int descriptor) noexcept override { return real_.close_on_exec(descriptor); }
    int close(int descriptor) noexcept override { return real_.close(descriptor); }
    file_identity identify_file(const char* path) noexcept override { return real_.identify_file(path); }
    int remove_file(const char* path) noexcept override { return real_.remove_file(path); }
    int open_event() noexcept override { return real_.open_event(); }
    void signal_event(int descriptor) noexcept override { real_.signal_event(descriptor); }
    void drain_event(int descriptor) noexcept override { real_.drain_event(descriptor); }
    time_point now() noexcept override { return real_.now(); }
    std::string explain_refusal(int error) override { return real_.explain_refusal(error); }

  private:
    kernel& real_;
};

// Time passes only when an executor sleeps, and then at once: a sleep of an hour takes no time and ends
// exactly when the executor asked to be woken.
class virtual_clock : public forwarding_kernel {
  public:
    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        if (wait.timeout == nullptr) return forwarding_kernel::enter(ring, to_submit, wait, flags);
        ++timed_waits;
        now_ += std::chrono::seconds(wait.timeout->tv_sec) + std::chrono::nanoseconds(wait.timeout->tv_nsec);
        return forwarding_kernel::enter(ring, to_submit, {}, flags);
    }
    time_point now() noexcept override { return now_; }
    void pass(duration time) noexcept { now_ += time; }

    unsigned timed_waits = 0;

  private:
    // Not on a tick, so that rounding shows.
    time_point now_{std::chrono::seconds(1000) + std::chrono::nanoseconds(12'345)};
};

} // namespace chainring::test
