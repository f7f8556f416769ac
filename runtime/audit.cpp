#include <chainring/runtime/audit.hpp>

#include <cstdio>

namespace chainring {

std::vector<std::string>
broken_invariants(const statistics& counted, const holdings& held, std::uint32_t pool_blocks) {
    std::vector<std::string> broken;
    const auto equal = [&broken](const char* what, std::uint64_t left, std::uint64_t right) {
        if (left != right)
            broken.push_back(
                std::string(what) + ": " + std::to_string(left) + " is not " + std::to_string(right));
    };
    equal(
        "SQEs are answered, silent or in flight", counted.sqes + held.unsubmitted_sqes,
        counted.terminal_cqes + counted.silent_sqes + held.operations + held.cancels);
    equal("every block of the buffer pool has its place", held.blocks, pool_blocks);
    equal(
        "bytes given to send are sent, failed or queued", counted.bytes_accepted,
        counted.bytes_sent + counted.bytes_failed + held.bytes);
    equal(
        "messages have one result or are queued", counted.messages_accepted,
        counted.messages_settled + held.messages);
    equal("CQEs of operations that no longer exist", counted.stale_cqes, 0);
    equal("sends that succeeded before the kernel had all of them", counted.early_results, 0);
    equal("coroutines that were resumed a second time", counted.second_resumptions, 0);
    equal(
        "descriptors that were opened and not closed are held",
        counted.descriptors_opened - counted.descriptors_closed, held.descriptors);
    return broken;
}

std::string operation_name(std::uint8_t opcode) {
    switch (opcode) {
    case IORING_OP_ACCEPT: return "accept";
    case IORING_OP_CONNECT: return "connect";
    case IORING_OP_RECV: return "receive";
    case IORING_OP_RECVMSG: return "receive of a message";
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG: return "send";
    case IORING_OP_SEND_ZC: return "zero-copy send";
    case IORING_OP_CLOSE: return "close";
    case IORING_OP_READ: return "read";
    case IORING_OP_WRITE: return "write";
    case IORING_OP_READV: return "readv";
    case IORING_OP_WRITEV: return "writev";
    case IORING_OP_FSYNC: return "fsync";
    case IORING_OP_POLL_ADD: return "poll";
    default: break;
    }
    // The others as liburing's functions spell them, in the order of the opcodes.
    static constexpr const char* names[] = {
        "nop",
        "readv",
        "writev",
        "fsync",
        "read_fixed",
        "write_fixed",
        "poll_add",
        "poll_remove",
        "sync_file_range",
        "sendmsg",
        "recvmsg",
        "timeout",
        "timeout_remove",
        "accept",
        "cancel",
        "link_timeout",
        "connect",
        "fallocate",
        "openat",
        "close",
        "files_update",
        "statx",
        "read",
        "write",
        "fadvise",
        "madvise",
        "send",
        "recv",
        "openat2",
        "epoll_ctl",
        "splice",
        "provide_buffers",
        "remove_buffers",
        "tee",
        "shutdown",
        "renameat",
        "unlinkat",
        "mkdirat",
        "symlinkat",
        "linkat",
        "msg_ring",
        "fsetxattr",
        "setxattr",
        "fgetxattr",
        "getxattr",
        "socket",
        "uring_cmd",
        "send_zc",
        "sendmsg_zc",
        "read_multishot",
        "waitid",
        "futex_wait",
        "futex_wake",
        "futex_waitv",
        "fixed_fd_install",
        "ftruncate",
        "bind",
        "listen"};
    static_assert(std::size(names) > IORING_OP_LISTEN);
    return opcode < std::size(names) ? names[opcode] : "opcode " + std::to_string(opcode);
}

std::string in_seconds(duration time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(time).count());
    return text;
}

} // namespace chainring
