#include <chainring/runtime/cancel_requests.hpp>
#include <chainring/runtime/executor.hpp>

#include <cerrno>
#include <utility>

namespace chainring {

bool cancel_requests::may_cancel(operation_id id) const noexcept {
    const slot* const found = home_.slots_.find(id);
    return found != nullptr && !found->beyond_cancel;
}

void cancel_requests::request(operation_id id) noexcept {
    if (!may_cancel(id)) return;
    home_.make_room(1);
    if (!may_cancel(id)) return; // it ended while room was made
    io_uring_sqe& sqe = home_.take_sqe();
    io_uring_prep_cancel64(&sqe, id.user_data(), 0);
    sqe.user_data = operation_id::cancel_tag | id.user_data();
    ++in_flight_;
}

// Two answers need more while the operation is still there: "not found", as the kernel does not find a connect to a full unix
// backlog between two polls, and "already", which comes to nothing if the worker thread that had the operation was just giving
// it up to poll its file instead.
void cancel_requests::answered(operation_id id, int answer) noexcept {
    --in_flight_;
    slot* const found = home_.slots_.find(id);
    if (found == nullptr) return;
    // What is left of a zero-copy send is its notification, which comes when the network lets go.
    const bool zero_copy = found->opcode == IORING_OP_SEND_ZC || found->opcode == IORING_OP_SENDMSG_ZC;
    found->beyond_cancel = answer == -ENOENT && zero_copy;
    if (found->beyond_cancel) return;
    if (answer == -ENOENT) {
        at_turn_end_.push_back(id);
        home_.at_turn_end(*this);
    } else if (answer == -EALREADY) {
        repeat_later(id);
    }
}

void cancel_requests::repeat_later(operation_id id) {
    // A worker in the middle of a file operation cannot be stopped: not to be asked all the time.
    constexpr duration pause = std::chrono::milliseconds(1);
    later_.push_back(id);
    if (!armed()) home_.timers().arm(*this, home_.behind().now() + pause);
}

void cancel_requests::at_turn_end() noexcept {
    for (const operation_id id : std::exchange(at_turn_end_, {})) request(id);
}

void cancel_requests::fire() noexcept {
    for (const operation_id id : std::exchange(later_, {})) request(id);
}

} // namespace chainring
