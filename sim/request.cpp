#include <chainring/runtime/audit.hpp>
#include <chainring/sim/request.hpp>

#include <poll.h>
#include <sys/socket.h>

namespace chainring::sim {

namespace {

// The bits beyond those that the simulation knows.
std::string unknown(const char* what, unsigned given, unsigned known) {
    if ((given & ~known) == 0) return {};
    return std::string("the simulation lacks ") + what + ' ' + std::to_string(given & ~known);
}

std::string prepare_send(request& taken) {
    const io_uring_sqe& sqe = taken.sqe;
    if (sqe.opcode == IORING_OP_SENDMSG) {
        const auto& header = *reinterpret_cast<const msghdr*>(sqe.addr);
        if (header.msg_name != nullptr || header.msg_controllen != 0)
            return "the simulation lacks addresses and control messages of a send";
        taken.pieces.assign(header.msg_iov, header.msg_iov + header.msg_iovlen);
    } else {
        taken.pieces.push_back({reinterpret_cast<void*>(sqe.addr), sqe.len});
    }
    if (sqe.ioprio != 0) return "the simulation lacks bundles and other modes of a send";
    return unknown("send flag", sqe.msg_flags, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL);
}

std::string prepare_receive(const io_uring_sqe& sqe) {
    const std::string flags = unknown("receive flag", sqe.msg_flags, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_TRUNC);
    return flags.empty() ? unknown("receive mode", sqe.ioprio, IORING_RECV_MULTISHOT) : flags;
}

} // namespace

std::string prepare(request& taken) {
    const io_uring_sqe& sqe = taken.sqe;
    if (std::string refused =
            unknown("SQE flag", sqe.flags, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS | IOSQE_BUFFER_SELECT);
        !refused.empty())
        return refused;
    switch (sqe.opcode) {
    case IORING_OP_NOP: return unknown("NOP flag", sqe.nop_flags, 0);
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG: return prepare_send(taken);
    case IORING_OP_RECV: return prepare_receive(sqe);
    case IORING_OP_ACCEPT:
        if (sqe.addr != 0 || sqe.file_index != 0)
            return "the simulation lacks addresses and direct descriptors of an accept";
        return unknown("accept mode", sqe.ioprio, IORING_ACCEPT_MULTISHOT);
    case IORING_OP_CONNECT:
        taken.to = address(reinterpret_cast<const sockaddr*>(sqe.addr), static_cast<socklen_t>(sqe.off));
        return {};
    case IORING_OP_CLOSE: return sqe.file_index == 0 ? "" : "the simulation lacks direct descriptors";
    case IORING_OP_ASYNC_CANCEL: return unknown("cancel flag", sqe.cancel_flags, 0);
    case IORING_OP_POLL_ADD: {
        const std::string mode = unknown("poll mode", sqe.len, IORING_POLL_ADD_MULTI);
        return mode.empty() ? unknown("poll event", sqe.poll32_events, POLLOUT | POLLERR | POLLHUP) : mode;
    }
    case IORING_OP_READ: return {};
    default: return "the simulation lacks the operation " + operation_name(sqe.opcode);
    }
}

std::string to_string(const request& shown) {
    return operation_name(shown.sqe.opcode) + " on descriptor " + std::to_string(shown.sqe.fd);
}

} // namespace chainring::sim
