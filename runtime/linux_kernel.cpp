#include <chainring/runtime/buffer_trials.hpp>
#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/locked_memory.hpp>
#include <chainring/runtime/setup_failure.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace chainring {

namespace {

// Newer than the headers of some distributions.
constexpr unsigned enter_no_iowait = 1U << 7;

int or_errno(int returned) noexcept {
    return returned < 0 ? -errno : returned;
}

class linux_kernel_calls final : public kernel {
  public:
    int open_ring(io_uring& ring, const ring_options& options) noexcept override {
        keeps_off_linux::refuse("an executor on Linux");
        const unsigned common =
            IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
        const unsigned mode = options.mode == task_work_mode::throughput
                                  ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
                                  : IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN;
        // Richest first; an older kernel answers -EINVAL to a flag that it does not know.
        const unsigned wishes[] = {
            common | mode | IORING_SETUP_NO_SQARRAY,
            common | mode,
            common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
            common | IORING_SETUP_COOP_TASKRUN,
        };
        int returned = -EINVAL;
        for (unsigned flags : wishes) {
            io_uring_params parameters;
            std::memset(&parameters, 0, sizeof parameters);
            parameters.flags = flags;
            parameters.cq_entries = options.completion_entries;
            returned = once_memory_is_back(
                [&] { return io_uring_queue_init_params(options.submission_entries, &ring, &parameters); });
            if (returned != -EINVAL) break;
        }
        return returned;
    }

    int enable_ring(io_uring& ring) noexcept override {
        int returned = io_uring_enable_rings(&ring);
        if (returned < 0) return returned;
        unsigned flags = 0;
        // A registered descriptor saves a look-up an enter; where that fails the plain one serves. The place is one of this thread, and
        // has another meaning on every other: liburing's own call would take the descriptor out of there wherever the ring is closed.
        io_uring_rsrc_update place{};
        place.offset = static_cast<unsigned>(-1); // any
        place.data = static_cast<unsigned>(ring.ring_fd);
        if (io_uring_register(static_cast<unsigned>(ring.ring_fd), IORING_REGISTER_RING_FDS, &place, 1) ==
            1) {
            ring.enter_ring_fd = static_cast<int>(place.offset);
            flags |= IORING_ENTER_REGISTERED_RING;
        }
        // Without it a waiting executor counts as waiting for a disk in every load graph.
        if (ring.features & detail::feature_no_iowait) flags |= enter_no_iowait;
        return static_cast<int>(flags);
    }

    void leave_ring(io_uring& ring) noexcept override {
        if (ring.enter_ring_fd == ring.ring_fd) return;
        io_uring_rsrc_update place{};
        place.offset = static_cast<unsigned>(ring.enter_ring_fd);
        io_uring_register(static_cast<unsigned>(ring.ring_fd), IORING_UNREGISTER_RING_FDS, &place, 1);
        ring.enter_ring_fd = ring.ring_fd;
    }
    void close_ring(io_uring& ring) noexcept override { io_uring_queue_exit(&ring); }

    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        io_uring_getevents_arg argument;
        std::memset(&argument, 0, sizeof argument);
        argument.sigmask_sz = _NSIG / 8;
        argument.ts = reinterpret_cast<unsigned long long>(wait.timeout);
        unsigned wait_for = wait.completions;
        if (wait_for > 1) {
            if (ring.features & IORING_FEAT_MIN_TIMEOUT)
                argument.min_wait_usec = static_cast<std::uint32_t>(wait.for_all.count());
            else
                wait_for = 1;
        }
        return io_uring_enter2(
            static_cast<unsigned>(ring.enter_ring_fd), to_submit, wait_for,
            flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, reinterpret_cast<sigset_t*>(&argument),
            sizeof argument);
    }

    int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept override {
        return once_memory_is_back([&] { return io_uring_register_buf_ring(&ring, &registration, 0); });
    }

    int unregister_buffer_ring(io_uring& ring, unsigned group) noexcept override {
        return io_uring_unregister_buf_ring(&ring, static_cast<int>(group));
    }

    // Tried once. Where there was no memory to try it is tried again, the next time that somebody asks.
    bool sends_bundles() noexcept override {
        static std::atomic<trial_outcome> known = trial_outcome::not_tried;
        if (known == trial_outcome::not_tried) known = try_send_bundle(*this);
        return known == trial_outcome::right;
    }

    int register_direct_table(io_uring& ring, unsigned places) noexcept override {
        return once_memory_is_back([&] { return io_uring_register_files_sparse(&ring, places); });
    }

    int register_event(io_uring& ring, int event) noexcept override {
        return io_uring_register_eventfd(&ring, event);
    }

    int open_socket(int family, int type, int protocol) noexcept override {
        // Never O_NONBLOCK: with it EAGAIN leaks out of operations that the kernel hands to a worker thread.
        return or_errno(::socket(family, type | SOCK_CLOEXEC, protocol));
    }
    int bind(int descriptor, const sockaddr* address, socklen_t length) noexcept override {
        return or_errno(::bind(descriptor, address, length));
    }
    int listen(int descriptor, int backlog) noexcept override {
        return or_errno(::listen(descriptor, backlog));
    }
    int connect(int descriptor, const sockaddr* to, socklen_t length) noexcept override {
        return or_errno(::connect(descriptor, to, length));
    }
    int shutdown(int descriptor, int how) noexcept override { return or_errno(::shutdown(descriptor, how)); }
    int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept override {
        return or_errno(::setsockopt(descriptor, level, name, value, length));
    }
    int get_option(int descriptor, int level, int name, void* value, socklen_t& length) noexcept override {
        return or_errno(::getsockopt(descriptor, level, name, value, &length));
    }
    int local_address(int descriptor, sockaddr* address, socklen_t& length) noexcept override {
        return or_errno(::getsockname(descriptor, address, &length));
    }
    int peer_address(int descriptor, sockaddr* address, socklen_t& length) noexcept override {
        return or_errno(::getpeername(descriptor, address, &length));
    }
    int unread(int descriptor) noexcept override {
        int bytes = 0;
        const int returned = or_errno(::ioctl(descriptor, FIONREAD, &bytes));
        return returned < 0 ? returned : bytes;
    }
    int close_on_exec(int descriptor) noexcept override {
        return or_errno(::fcntl(descriptor, F_SETFD, FD_CLOEXEC));
    }
    int close(int descriptor) noexcept override { return or_errno(::close(descriptor)); }

    file_identity identify_file(const char* path) noexcept override {
        struct stat found;
        if (::lstat(path, &found) != 0) return {};
        return {found.st_dev, found.st_ino};
    }
    int remove_file(const char* path) noexcept override { return or_errno(::unlink(path)); }

    int open_event() noexcept override { return or_errno(::eventfd(0, EFD_CLOEXEC)); }
    void signal_event(int descriptor) noexcept override {
        const int saved = errno; // signal handlers come through here
        ::eventfd_write(descriptor, 1);
        errno = saved;
    }

    void drain_event(int descriptor) noexcept override {
        std::uint64_t signals = 0;
        const iovec whole{&signals, sizeof signals};
        // The file may be blocking: an embedding's loop decides.
        (void)::preadv2(descriptor, &whole, 1, -1, RWF_NOWAIT);
    }

    time_point now() noexcept override { return std::chrono::steady_clock::now(); }

    std::string explain_refusal(int error) override { return diagnose_setup_failure(error).text; }
};

} // namespace

kernel& linux_kernel() noexcept {
    static linux_kernel_calls instance;
    return instance;
}

constinit keeps_off_linux* keeps_off_linux::latest_ = nullptr;

namespace {

constinit std::mutex who_keeps_off;

} // namespace

keeps_off_linux::keeps_off_linux(kernel& instead) noexcept
    : instead_(instead) {
    const std::scoped_lock one_at_a_time(who_keeps_off);
    before_ = latest_;
    latest_ = this;
}

keeps_off_linux::~keeps_off_linux() {
    const std::scoped_lock one_at_a_time(who_keeps_off);
    for (keeps_off_linux** at = &latest_; *at != nullptr; at = &(*at)->before_) {
        if (*at != this) continue;
        *at = before_;
        return;
    }
}

void keeps_off_linux::refuse(const char* what) noexcept {
    const std::scoped_lock one_at_a_time(who_keeps_off);
    if (latest_ != nullptr) latest_->instead_.about_to_leave(what);
}

} // namespace chainring
