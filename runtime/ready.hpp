// ready: waits until a descriptor that something else reads or writes is ready for it.
//
//     while (co_await cr::ready(PQsocket(connection), cr::readable)) PQconsumeInput(connection);
#pragma once

#include <chainring/runtime/operation.hpp>

#include <poll.h>

#include <utility>

namespace chainring {

// What can be done with a descriptor without waiting. With `|` both.
enum class readiness : std::uint8_t { readable = 1, writable = 2 };
using enum readiness;

constexpr readiness operator|(readiness one, readiness other) noexcept {
    return static_cast<readiness>(std::to_underlying(one) | std::to_underlying(other));
}
// Whether `all` has something of `one`.
constexpr bool includes(readiness all, readiness one) noexcept {
    return (std::to_underlying(all) & std::to_underlying(one)) != 0;
}

class [[nodiscard("co_await it")]] ready_operation : public operation<ready_operation>,
                                                     private completion,
                                                     private turn_end_work {
  public:
    ready_operation(int descriptor, readiness wanted) noexcept
        : descriptor_(descriptor)
        , wanted_(wanted) {}
    ready_operation(ready_operation&& other) noexcept
        : operation(std::move(other))
        , descriptor_(other.descriptor_)
        , wanted_(other.wanted_) {}
    ~ready_operation() {
        if (id_) home_->cancel_and_wait(id_);
    }

    bool start(executor& home) {
        home_ = &home;
        poll(0);
        return true;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override {
        cancelled_ = true;
        if (id_)
            home_->request_cancel(id_);
        else
            end(); // between two polls
    }
    void describe(task_tree& to) const override {
        to.waits("readiness of descriptor " + std::to_string(descriptor_));
    }
    result<readiness> await_resume() const noexcept {
        if (found_ != nothing) return found_;
        return failure(error_);
    }

  private:
    static constexpr readiness nothing{};

    void poll(unsigned mode) {
        id_ = home_->submit(*this, [this, mode](io_uring_sqe& sqe) {
            const short events = static_cast<short>(
                (includes(wanted_, readable) ? POLLIN : 0) | (includes(wanted_, writable) ? POLLOUT : 0));
            io_uring_prep_poll_add(&sqe, descriptor_, static_cast<unsigned>(events));
            sqe.len = mode;
        });
    }

    // A poll of io_uring also ends when the peer has half-closed, which says nothing of who wants to write. A second poll
    // like it would end at once again, but a multishot one says so once and goes on.
    void complete(const io_uring_cqe& cqe) noexcept override {
        const bool ended = is_terminal(cqe);
        if (ended) id_ = {};
        if (cqe.res < 0)
            error_ = fault::from_result(cqe.res);
        else
            found_ = found_ | ready_of(static_cast<unsigned>(cqe.res));
        const bool satisfied = found_ != nothing || error_;
        if (ended && satisfied)
            end();
        else if (ended || satisfied)
            home_->at_turn_end(*this);
    }
    void at_turn_end() noexcept override {
        if (id_)
            home_->request_cancel(id_); // a multishot poll that has found what was wanted
        else
            poll(IORING_POLL_ADD_MULTI);
    }
    void end() noexcept {
        turn_end_work::unlink();
        if (found_ == nothing && cancelled_) error_ = errc::cancelled;
        home_->ready().push(*this);
    }

    // An error or a hang-up: neither a read nor a write would wait.
    readiness ready_of(unsigned events) const noexcept {
        if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0) return wanted_;
        readiness found = nothing;
        if ((events & POLLIN) != 0) found = found | readable;
        if ((events & POLLOUT) != 0) found = found | writable;
        return found;
    }

    int descriptor_;
    readiness wanted_;
    readiness found_ = nothing;
    bool cancelled_ = false;
    fault error_;
    executor* home_ = nullptr;
    operation_id id_;
};

// completes when: a read or a write, whichever of them is wanted, would not wait: also at the end of what can be read, and when
//                 it would fail. The value says which of the wanted; files are always ready
// errors:         std::errc::bad_file_descriptor; errc::cancelled
// cancellation:   waits for the kernel; readiness that was found by then is the result
// ownership:      the descriptor is the caller's, and must stay open until completion: closing it ends nothing
// thread:         the executor's
inline ready_operation ready(int descriptor, readiness wanted) noexcept {
    return {descriptor, wanted};
}

} // namespace chainring
