// The seam. Everything that chainring asks of Linux goes through this interface; nothing above it may know
// which kernel stands behind it. SQEs and CQEs do not cross it: they are written and read in shared memory by
// inline code, so the seam costs one virtual call a turn (`enter`), not one an operation.
#pragma once

#include <chainring/runtime/error.hpp>
#include <chainring/runtime/resumption_watch.hpp>

#include <liburing.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace chainring {

class executor;

using duration = std::chrono::nanoseconds;
// In longer units there are numbers of which nanoseconds hold only the first 292 years.
template <class Rep, class Period>
constexpr duration saturated(std::chrono::duration<Rep, Period> given) noexcept {
    using longest = std::chrono::duration<long double, std::nano>;
    if (longest(given) >= longest(duration::max())) return duration::max();
    if (longest(given) <= longest(duration::min())) return duration::min();
    return std::chrono::duration_cast<duration>(given);
}
// A point on the kernel's monotonic clock; virtual time behind a simulated kernel.
using time_point = std::chrono::steady_clock::time_point;

namespace detail {

// IORING_FEAT_NO_IOWAIT: newer than liburing 2.9 and the headers of some distributions.
inline constexpr unsigned feature_no_iowait = 1U << 17;

} // namespace detail

// When the kernel may run the completions of this ring. It is one or the other: a ring with both of these flags is one with
// DEFER_TASKRUN, for which the kernel ignores COOP_TASKRUN.
enum class task_work_mode {
    throughput, // only when the executor waits (DEFER_TASKRUN): fewer switches, bigger batches
    latency,    // on any return from the kernel (COOP_TASKRUN)
};

// Lets a sleep go on until several completions are there, so that one wake-up brings them all, as the interrupt moderation of
// network cards does. For servers of many busy clients that may each wait a little longer. Only in throughput mode.
//
// Where one thing happens at a time nothing waits: a sleep ends with the first completion if the sleep before it brought one
// only, beside those of what was submitted with it, and if a timer is due within `at_most`. The ends of sends count as
// completions, and all posts from other threads during a sleep as one. Where Linux has no such wait (before 6.12) every
// sleep ends with the first.
struct gathering {
    unsigned completions = 1;             // 1: no gathering. Up to half of the completion queue
    std::chrono::microseconds at_most{0}; // from the sleep's begin; then the first is enough. Up to a second
};

struct ring_options {
    task_work_mode mode = task_work_mode::throughput;
    gathering gather = {};
    unsigned submission_entries = 256; // 2 at least
    // Room for bursts: a full completion queue ends every multishot operation.
    unsigned completion_entries = 4096;
};

// What ends an enter's sleep.
struct enter_wait {
    unsigned completions = 0;                   // so many are there; 0: it does not sleep
    std::chrono::microseconds for_all{};        // has passed, and one is there, or there is no timeout
    const __kernel_timespec* timeout = nullptr; // has passed: no shorter than `for_all`; nullptr: none
};

// Tells a file from another one that has taken its path.
struct file_identity {
    std::uint64_t device = 0;
    std::uint64_t number = 0; // 0: there is no file

    bool operator==(const file_identity&) const = default;
};

// Calls return a value >= 0 or a negative errno, as the system calls behind them do.
class kernel {
  public:
    virtual ~kernel() = default;

    // The ring starts disabled, so that another thread than the one that opened it may become its owner.
    virtual int open_ring(io_uring& ring, const ring_options& options) noexcept = 0;
    // Makes the calling thread its owner. Returns the flags that every later `enter` must carry.
    virtual int enable_ring(io_uring& ring) noexcept = 0;
    // Its owner enters it no more, and says so on its own thread: part of what it has there belongs to the thread.
    virtual void leave_ring(io_uring& ring) noexcept = 0;
    // On any thread, after that if it has an owner. Without that the owner's thread keeps a part of it until its end.
    virtual void close_ring(io_uring& ring) noexcept = 0;
    // Submits `to_submit` SQEs, runs deferred completions, and waits. Returns the number of SQEs taken, which may
    // be fewer than asked, also where the wait has failed; an error only if it is none. Where a wait cannot be for several completions it is for one.
    virtual int
    enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept = 0;
    virtual int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept = 0;
    virtual int unregister_buffer_ring(io_uring& ring, unsigned group) noexcept = 0;
    // Whether a send of several provided buffers, where it is there, does what it should (buffer_trials.hpp).
    virtual bool sends_bundles() noexcept = 0;
    // A table of direct descriptors, all of them free.
    virtual int register_direct_table(io_uring& ring, unsigned places) noexcept = 0;

    // An event that each completion signals while IORING_CQ_EVENTFD_DISABLED is not set, or, where completions are deferred, that
    // there are some to run.
    virtual int register_event(io_uring& ring, int event) noexcept = 0;

    // Descriptors.
    virtual int open_socket(int family, int type, int protocol) noexcept = 0;
    virtual int bind(int descriptor, const sockaddr* address, socklen_t length) noexcept = 0;
    virtual int listen(int descriptor, int backlog) noexcept = 0;
    // Of datagrams, which does not wait; others connect by the ring.
    virtual int connect(int descriptor, const sockaddr* to, socklen_t length) noexcept = 0;
    virtual int shutdown(int descriptor, int how) noexcept = 0;
    virtual int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept = 0;
    virtual int get_option(int descriptor, int level, int name, void* value, socklen_t& length) noexcept = 0;
    virtual int local_address(int descriptor, sockaddr* address, socklen_t& length) noexcept = 0;
    virtual int peer_address(int descriptor, sockaddr* address, socklen_t& length) noexcept = 0;
    virtual int unread(int descriptor) noexcept = 0; // bytes that arrived and were not received (FIONREAD)
    virtual int close_on_exec(int descriptor) noexcept = 0; // from now on
    virtual int close(int descriptor) noexcept = 0;
    // A unix socket's file.
    virtual file_identity identify_file(const char* path) noexcept = 0;
    virtual int remove_file(const char* path) noexcept = 0;

    // An eventfd, for waking a sleeping executor. `signal_event` may be called from any thread and any signal
    // handler.
    virtual int open_event() noexcept = 0;
    virtual void signal_event(int descriptor) noexcept = 0;
    // Takes all signals, if there are any.
    virtual void drain_event(int descriptor) noexcept = 0;

    virtual time_point now() noexcept = 0;

    // Why a call on a ring failed with -`error`, and what the user can do about it.
    virtual std::string explain_refusal(int error) = 0;

    // What goes past this interface. Linux lets it; a simulated kernel ends the process with its name.

    // Somebody outside of its turns is about to post to an executor: from any thread and any signal handler.
    virtual void about_to_post() noexcept {}
    // The program is about to use `what`.
    virtual void about_to_leave(const char*) noexcept {}
    // It waits until then, which is in the past by this kernel's clock.
    virtual void about_to_be_late(time_point) noexcept {}

    // Who hears of each coroutine of an executor that goes on, for as long as the executor lives. On Linux nobody does: nullptr.
    virtual std::unique_ptr<resumption_watch> watch_resumptions(executor&) { return nullptr; }
};

// Linux itself, through liburing. One object serves the whole process; it has no state.
kernel& linux_kernel() noexcept;

// While it lives, a ring that any thread opens on Linux is about to leave `instead`: an executor that was given no kernel.
class keeps_off_linux {
  public:
    explicit keeps_off_linux(kernel& instead) noexcept;
    ~keeps_off_linux();
    keeps_off_linux(const keeps_off_linux&) = delete;
    keeps_off_linux& operator=(const keeps_off_linux&) = delete;

    // For Linux: tells the latest one, if there is any.
    static void refuse(const char* what) noexcept;

  private:
    kernel& instead_;
    keeps_off_linux* before_;
    // Links of their own, and no container: a static kernel dies after whatever the process has to destroy.
    static constinit keeps_off_linux* latest_;
};

} // namespace chainring
