// The escape hatch: any opcode of io_uring, awaited.
//
//     auto synced = co_await cr::uring([&](io_uring_sqe& sqe) { io_uring_prep_fsync(&sqe, fd, 0); });
#pragma once

#include <chainring/runtime/operation.hpp>

#include <unistd.h>

#include <exception>
#include <type_traits>
#include <utility>

namespace chainring {

namespace detail {

// Such an operation has many CQEs, and who awaits it goes on once.
inline bool is_multishot(const io_uring_sqe& sqe) noexcept {
    switch (sqe.opcode) {
    case IORING_OP_ACCEPT: return (sqe.ioprio & IORING_ACCEPT_MULTISHOT) != 0;
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG: return (sqe.ioprio & IORING_RECV_MULTISHOT) != 0;
    case IORING_OP_POLL_ADD: return (sqe.len & IORING_POLL_ADD_MULTI) != 0;
    case IORING_OP_TIMEOUT: return (sqe.timeout_flags & IORING_TIMEOUT_MULTISHOT) != 0;
    case IORING_OP_READ_MULTISHOT: return true;
    default: return false;
    }
}

} // namespace detail

template <class Prepare>
class [[nodiscard("co_await it")]] uring_operation : public ring_operation<uring_operation<Prepare>> {
  public:
    explicit uring_operation(Prepare prepare)
        : prepare_(std::move(prepare)) {}
    uring_operation(uring_operation&&) = default;
    ~uring_operation() { this->end(); }

    result<int> await_resume() {
        result<int> outcome = this->take_outcome();
        if (exception_) std::rethrow_exception(std::move(exception_));
        if (illegal_) return failure(errc::unsupported_sqe_flag);
        return outcome;
    }

  private:
    friend class ring_operation<uring_operation>;

    void prepare(io_uring_sqe& sqe) {
        // An SQE that was taken will be submitted, whatever happens here.
        try {
            prepare_(sqe);
        } catch (...) {
            exception_ = std::current_exception();
            make_harmless(sqe);
        }
        // A link would reach into SQEs of others, a skipped CQE would never resume the coroutine, and a
        // selected buffer would have no lease.
        constexpr unsigned unsupported =
            IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS | IOSQE_BUFFER_SELECT | IOSQE_IO_DRAIN;
        if ((sqe.flags & unsupported) != 0 || detail::is_multishot(sqe)) {
            illegal_ = true;
            make_harmless(sqe);
        }
        // A direct descriptor is an index into the ring's table, not a number that close knows.
        opens_ = (sqe.opcode == IORING_OP_ACCEPT || sqe.opcode == IORING_OP_SOCKET ||
                  sqe.opcode == IORING_OP_OPENAT || sqe.opcode == IORING_OP_OPENAT2) &&
                 sqe.file_index == 0;
    }

    static void make_harmless(io_uring_sqe& sqe) noexcept {
        sqe = {};
        io_uring_prep_nop(&sqe);
    }

    // Nobody is there to take what a destroyed operation produced.
    void dispose(int returned) noexcept {
        if (opens_ && returned >= 0) ::close(returned);
    }

    Prepare prepare_;
    std::exception_ptr exception_; // of `prepare`
    bool opens_ = false;
    bool illegal_ = false;
};

// completes when: the operation's terminal CQE is there; its value is the CQE's result
// errors:         the operation's errno; errc::unsupported_sqe_flag for links, CQE_SKIP_SUCCESS, IO_DRAIN,
//                 buffer selection, and multishot operations
// cancellation:   asks the kernel to end it and waits; errc::cancelled only if the kernel says that nothing was done
// ownership:      memory that the SQE points to is the caller's and must live until completion; destroying the
//                 operation cancels it and waits
// thread:         the executor's
template <class Prepare>
    requires std::is_invocable_v<Prepare&, io_uring_sqe&>
uring_operation<std::decay_t<Prepare>> uring(Prepare&& prepare) {
    return uring_operation<std::decay_t<Prepare>>(std::forward<Prepare>(prepare));
}

} // namespace chainring
