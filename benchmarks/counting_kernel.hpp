// Counts what an executor asks of its kernel, and what its own code uses meanwhile: what happens within the kernel is not the
// executor's, so allocations and instructions (under callgrind) are counted outside of it only.
#pragma once

#include "../tests/runtime/forwarding_kernel.hpp"

#ifdef WITH_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name)
#endif

// Of this thread, by the program's malloc. -1: none is counted.
inline constinit thread_local long counted_allocations = -1;

struct usage {
    long enters = 0;
    long other_calls = 0; // that concern a descriptor
    long sqes = 0;
    long cqes = 0;
    long allocations = 0;
};

class counting_kernel final : public chainring::test::forwarding_kernel {
  public:
    using forwarding_kernel::forwarding_kernel;

    void begin() noexcept {
        counted_ = {.cqes = -posted()};
        counting_ = true;
        counted_allocations = 0;
        CALLGRIND_ZERO_STATS;
        CALLGRIND_TOGGLE_COLLECT;
    }
    // Callgrind writes its totals under this name.
    usage end([[maybe_unused]] const char* name) {
        CALLGRIND_TOGGLE_COLLECT;
        CALLGRIND_DUMP_STATS_AT(name);
        counted_.allocations = std::exchange(counted_allocations, -1);
        counting_ = false;
        counted_.cqes += posted();
        return counted_;
    }

    int open_ring(io_uring& ring, const chainring::ring_options& options) noexcept override {
        ring_ = &ring;
        return forwarding_kernel::open_ring(ring, options);
    }
    int enter(io_uring& ring, unsigned to_submit, const chainring::enter_wait& wait, unsigned flags) noexcept
        override {
        const within_kernel now(*this);
        ++counted_.enters;
        const int taken = forwarding_kernel::enter(ring, to_submit, wait, flags);
        if (taken > 0) counted_.sqes += taken;
        return taken;
    }

    int open_socket(int family, int type, int protocol) noexcept override {
        return call([&] { return forwarding_kernel::open_socket(family, type, protocol); });
    }
    int connect(int descriptor, const sockaddr* to, socklen_t length) noexcept override {
        return call([&] { return forwarding_kernel::connect(descriptor, to, length); });
    }
    int shutdown(int descriptor, int how) noexcept override {
        return call([&] { return forwarding_kernel::shutdown(descriptor, how); });
    }
    int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept override {
        return call([&] { return forwarding_kernel::set_option(descriptor, level, name, value, length); });
    }
    int get_option(int descriptor, int level, int name, void* value, socklen_t& length) noexcept override {
        return call([&] { return forwarding_kernel::get_option(descriptor, level, name, value, length); });
    }
    int local_address(int descriptor, sockaddr* address, socklen_t& length) noexcept override {
        return call([&] { return forwarding_kernel::local_address(descriptor, address, length); });
    }
    int peer_address(int descriptor, sockaddr* address, socklen_t& length) noexcept override {
        return call([&] { return forwarding_kernel::peer_address(descriptor, address, length); });
    }
    int unread(int descriptor) noexcept override {
        return call([&] { return forwarding_kernel::unread(descriptor); });
    }
    int close_on_exec(int descriptor) noexcept override {
        return call([&] { return forwarding_kernel::close_on_exec(descriptor); });
    }
    int close(int descriptor) noexcept override {
        return call([&] { return forwarding_kernel::close(descriptor); });
    }
    void signal_event(int descriptor) noexcept override {
        (void)call([&] { return forwarding_kernel::signal_event(descriptor), 0; });
    }
    void drain_event(int descriptor) noexcept override {
        (void)call([&] { return forwarding_kernel::drain_event(descriptor), 0; });
    }

  private:
    class within_kernel {
      public:
        explicit within_kernel(const counting_kernel& counts) noexcept
            : counting_(counts.counting_)
            , allocations_(counted_allocations) {
            counted_allocations = -1;
            if (counting_) CALLGRIND_TOGGLE_COLLECT;
        }
        ~within_kernel() {
            if (counting_) CALLGRIND_TOGGLE_COLLECT;
            counted_allocations = allocations_;
        }
        within_kernel(const within_kernel&) = delete;
        within_kernel& operator=(const within_kernel&) = delete;

      private:
        bool counting_;
        long allocations_;
    };

    template <class Call> int call(Call&& made) noexcept {
        const within_kernel now(*this);
        ++counted_.other_calls;
        return made();
    }

    long posted() const noexcept { return static_cast<long>(*ring_->cq.ktail); }

    io_uring* ring_ = nullptr; // the one that was opened last
    bool counting_ = false;
    usage counted_;
};
