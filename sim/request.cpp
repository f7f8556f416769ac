#include <chainring/runtime/audit.hpp>
#include <chainring/sim/names.hpp>
#include <chainring/sim/request.hpp>

#include <poll.h>
#include <sys/socket.h>

namespace chainring::sim {

namespace {

// The bits beyond those that the simulation knows.
std::string unknown(const char* what, unsigned given, unsigned known, std::span<const named_bit> names = {}) {
    if ((given & ~known) == 0) return {};
    return std::string("the simulation lacks ") + what + ' ' + names_of(given & ~known, names);
}

std::string prepare_send(request& taken) {
    const io_uring_sqe& sqe = taken.sqe;
    if (sqe.opcode == IORING_OP_SENDMSG) {
        const auto& header = *reinterpret_cast<const msghdr*>(sqe.addr);
        if (header.msg_controllen != 0) return "the simulation lacks control messages of a send";
        if (header.msg_name != nullptr)
            taken.to = address(static_cast<const sockaddr*>(header.msg_name), header.msg_namelen);
        taken.pieces.assign(header.msg_iov, header.msg_iov + header.msg_iovlen);
    } else {
        if (sqe.addr2 != 0) return "the simulation lacks addresses of a send";
        taken.pieces.push_back({reinterpret_cast<void*>(sqe.addr), sqe.len});
    }
    const unsigned modes = sqe.opcode == IORING_OP_SEND_ZC ? IORING_SEND_ZC_REPORT_USAGE : 0;
    if (const std::string mode = unknown("mode of a send", sqe.ioprio, modes, message_modes); !mode.empty())
        return mode;
    return unknown("send flag", sqe.msg_flags, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL, message_flags);
}

std::string prepare_receive(request& taken) {
    const io_uring_sqe& sqe = taken.sqe;
    if (sqe.opcode == IORING_OP_RECVMSG) {
        taken.header = *reinterpret_cast<const msghdr*>(sqe.addr);
        const bool multishot = (sqe.ioprio & IORING_RECV_MULTISHOT) != 0;
        const bool selects = (sqe.flags & IOSQE_BUFFER_SELECT) != 0;
        if (multishot != selects)
            return "the simulation lacks a receive of one message into provided buffers";
        if (!multishot)
            taken.pieces.assign(taken.header.msg_iov, taken.header.msg_iov + taken.header.msg_iovlen);
    }
    const unsigned known = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_TRUNC | MSG_CMSG_CLOEXEC;
    const std::string flags = unknown("receive flag", sqe.msg_flags, known, message_flags);
    return flags.empty() ? unknown("receive mode", sqe.ioprio, IORING_RECV_MULTISHOT, message_modes) : flags;
}

} // namespace

std::string prepare(request& taken) {
    const io_uring_sqe& sqe = taken.sqe;
    if (std::string refused = unknown(
            "SQE flag", sqe.flags,
            IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS | IOSQE_BUFFER_SELECT |
                IOSQE_FIXED_FILE,
            sqe_flags);
        !refused.empty())
        return refused;
    switch (sqe.opcode) {
    case IORING_OP_NOP: return unknown("NOP flag", sqe.nop_flags, 0);
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC: return prepare_send(taken);
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG: return prepare_receive(taken);
    case IORING_OP_ACCEPT:
        if (sqe.addr != 0) return "the simulation lacks addresses of an accept";
        if (sqe.file_index != 0 && sqe.file_index != IORING_FILE_INDEX_ALLOC)
            return "the simulation lacks places of the program's choice for direct descriptors";
        return unknown("accept mode", sqe.ioprio, IORING_ACCEPT_MULTISHOT, accept_modes);
    case IORING_OP_CONNECT:
        taken.to = address(reinterpret_cast<const sockaddr*>(sqe.addr), static_cast<socklen_t>(sqe.off));
        return {};
    case IORING_OP_CLOSE: return {};
    case IORING_OP_FIXED_FD_INSTALL: return unknown("flag of an install", sqe.install_fd_flags, 0);
    case IORING_OP_URING_CMD: // a number, and no set of flags
        if (sqe.cmd_op == SOCKET_URING_OP_SETSOCKOPT) return {};
        return "the simulation lacks command " + std::to_string(sqe.cmd_op) + " of a socket";
    case IORING_OP_ASYNC_CANCEL: return unknown("cancel flag", sqe.cancel_flags, 0, cancel_flags);
    case IORING_OP_POLL_ADD: {
        const std::string mode = unknown("poll mode", sqe.len, IORING_POLL_ADD_MULTI, poll_modes);
        return mode.empty()
                   ? unknown(
                         "poll event", sqe.poll32_events, POLLIN | POLLOUT | POLLERR | POLLHUP, poll_events)
                   : mode;
    }
    case IORING_OP_READ: return {};
    default: return "the simulation lacks the operation " + operation_name(sqe.opcode);
    }
}

std::string to_string(const request& shown) {
    return (shown.notifies != nullptr ? "notification of " : "") + operation_name(shown.sqe.opcode) +
           " on descriptor " + std::to_string(shown.sqe.fd);
}

} // namespace chainring::sim
