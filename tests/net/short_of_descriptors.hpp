// Linux, out of descriptors on demand. The process's own limit is lowered only around the calls in which the
// library takes descriptors: sanitizers need some in between.
#pragma once

#include "../runtime/forwarding_kernel.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

namespace chainring::test {

class short_of_descriptors final : public forwarding_kernel {
  public:
    // From now on no descriptor is left but those that the library gives back.
    void begin() { limit_ = first_free(); }
    void end() { limit_ = -1; }

    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        if (limit_ < 0) return forwarding_kernel::enter(ring, to_submit, wait, flags);
        rlimit before{};
        ::getrlimit(RLIMIT_NOFILE, &before);
        const rlimit lowered{.rlim_cur = static_cast<rlim_t>(limit_), .rlim_max = before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &lowered);
        const int returned = forwarding_kernel::enter(ring, to_submit, wait, flags);
        ::setrlimit(RLIMIT_NOFILE, &before);
        return returned;
    }

    int open_socket(int family, int type, int protocol) noexcept override {
        if (limit_ >= 0 && first_free() >= limit_) return -EMFILE;
        return forwarding_kernel::open_socket(family, type, protocol);
    }

  private:
    // Descriptors are given out lowest first.
    static int first_free() noexcept {
        const int found = ::dup(0);
        ::close(found);
        return found;
    }

    int limit_ = -1;
};

} // namespace chainring::test
