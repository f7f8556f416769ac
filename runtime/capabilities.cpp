#include <chainring/runtime/capabilities.hpp>
#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/locked_memory.hpp>

#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>

namespace chainring {

namespace {

// Newer than liburing 2.9.
constexpr unsigned send_vectorized = 1U << 5;
constexpr unsigned register_send_msg_ring = 31;

constexpr auto every_mode = needed_for::every_mode;
constexpr auto throughput_mode_only = needed_for::throughput_mode;
constexpr auto nothing = needed_for::nothing;

using c = capabilities;

// clang-format off
constexpr capability table[] = {
    {"start_disabled", &c::start_disabled, "ring", "5.10", every_mode, "does not run: a ring must change its owner"},
    {"submit_all", &c::submit_all, "ring", "5.18", every_mode, "does not run: a bad SQE would tear a batch apart"},
    {"coop_taskrun", &c::coop_taskrun, "ring", "5.19", every_mode, "does not run"},
    {"taskrun_flag", &c::taskrun_flag, "ring", "5.19", nothing, "enters the kernel to see what is pending"},
    {"single_issuer", &c::single_issuer, "ring", "6.0", throughput_mode_only, "latency mode, with the kernel's locks"},
    {"defer_taskrun", &c::defer_taskrun, "ring", "6.1", throughput_mode_only, "latency mode"},
    {"no_sqarray", &c::no_sqarray, "ring", "6.6", nothing, "one more indirection a submission"},

    {"nodrop", &c::nodrop, "features", "5.5", every_mode, "does not run: completions could be lost"},
    {"submit_stable", &c::submit_stable, "features", "5.5", every_mode, "does not run: messages could change in flight"},
    {"ext_arg", &c::ext_arg, "features", "5.11", every_mode, "does not run: its timers are the limit of the wait"},
    {"cqe_skip", &c::cqe_skip, "features", "5.17", every_mode, "does not run: a batch completes by one completion"},
    {"linked_file", &c::linked_file, "features", "5.17", every_mode, "does not run"},
    {"recvsend_bundle", &c::recvsend_bundle, "features", "6.10", nothing, "one buffer a receive"},
    {"min_timeout", &c::min_timeout, "features", "6.12", nothing, "wakes at the first completion"},
    {"no_iowait", &c::no_iowait, "features", "6.15", nothing, "an idle executor shows as iowait in load figures"},

    {"socket_operations", &c::socket_operations, "operations", "5.6", every_mode, "does not run"},
    {"msg_ring", &c::msg_ring, "operations", "5.18", nothing, "wakes other executors by an eventfd"},
    {"send_zc", &c::send_zc, "operations", "6.0", nothing, "copies what it sends"},
    {"sendmsg_zc", &c::sendmsg_zc, "operations", "6.1", nothing, "copies what it gathers"},
    {"fixed_fd_install", &c::fixed_fd_install, "operations", "6.8", nothing, "hands over plain descriptors only"},
    {"bind_listen", &c::bind_listen, "operations", "6.11", nothing, "binds and listens by system calls"},

    {"buffer_ring", &c::buffer_ring, "registrations", "5.19", every_mode, "does not run: receives take pooled buffers"},
    {"incremental_buffer_ring", &c::incremental_buffer_ring, "registrations", "6.12", nothing, "a whole buffer a receive"},
    {"registered_ring", &c::registered_ring, "registrations", "5.18", nothing, "one descriptor look-up an enter"},
    {"eventfd", &c::eventfd, "registrations", "5.2", nothing, "cannot be embedded in another event loop"},
    {"sync_cancel", &c::sync_cancel, "registrations", "6.0", nothing, "cancels through the ring and waits"},
    {"direct_descriptors", &c::direct_descriptors, "registrations", "5.19", nothing, "plain descriptors"},
    {"direct_descriptor_range", &c::direct_descriptor_range, "registrations", "6.0", nothing, "plain descriptors"},
    {"sync_msg_ring", &c::sync_msg_ring, "registrations", "6.13", nothing, "foreign threads wake an executor by an eventfd"},

    {"multishot_accept", &c::multishot_accept, "sockets", "5.19", every_mode, "does not run"},
    {"multishot_receive", &c::multishot_receive, "sockets", "6.0", every_mode, "does not run"},
    {"receive_limit", &c::receive_limit, "sockets", "6.17", nothing, "a busy connection is held back by the buffer pool"},
    {"vectored_send", &c::vectored_send, "sockets", "6.17", nothing, "gathers with sendmsg"},
    {"cancel_by_descriptor", &c::cancel_by_descriptor, "sockets", "5.19", every_mode, "does not run: closing starts with it"},
    {"cancel_by_operation", &c::cancel_by_operation, "sockets", "6.6", nothing, "cancels one by one"},
};
// clang-format on

static_assert(
    std::size(table) == sizeof(capabilities), "every member of capabilities has its line in the table");

bool all_needed(const capabilities& found, bool for_throughput) noexcept {
    return std::ranges::all_of(table, [&](const capability& entry) {
        const bool needed =
            entry.need == every_mode || (for_throughput && entry.need == throughput_mode_only);
        return !needed || found.*entry.member;
    });
}

// Whether io_uring_setup takes the flags; any answer but EINVAL is a failure of its own.
std::expected<bool, int> accepts(unsigned flags) noexcept {
    io_uring_params parameters{};
    parameters.flags = flags;
    const int returned = once_memory_is_back([&] { return io_uring_setup(1, &parameters); });
    if (returned == -EINVAL) return false;
    if (returned < 0) return std::unexpected(-returned);
    ::close(returned);
    return true;
}

std::expected<void, int> probe_setup_flags(capabilities& found) noexcept {
    struct flag {
        unsigned asked; // with the flags that it cannot be without
        bool capabilities::* member;
    };
    constexpr flag flags[] = {
        {IORING_SETUP_R_DISABLED, &c::start_disabled},
        {IORING_SETUP_SUBMIT_ALL, &c::submit_all},
        {IORING_SETUP_COOP_TASKRUN, &c::coop_taskrun},
        {IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_COOP_TASKRUN, &c::taskrun_flag},
        {IORING_SETUP_SINGLE_ISSUER, &c::single_issuer},
        {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER, &c::defer_taskrun},
        {IORING_SETUP_NO_SQARRAY, &c::no_sqarray},
    };
    unsigned all = 0;
    for (const flag& one : flags) all |= one.asked;
    // All at once first: a closed ring gives back its locked memory late, and a low RLIMIT_MEMLOCK (which
    // Linux 6.14 and later apply again) holds only a few of them.
    const auto everything = accepts(all);
    if (!everything) return std::unexpected(everything.error());
    for (const flag& one : flags) {
        const auto answer = *everything ? everything : accepts(one.asked);
        if (!answer) return std::unexpected(answer.error());
        found.*one.member = *answer;
    }
    return {};
}

class small_ring {
  public:
    small_ring() noexcept
        : status_(once_memory_is_back([this] { return io_uring_queue_init(4, &ring_, 0); })) {}
    ~small_ring() {
        if (status_ == 0) io_uring_queue_exit(&ring_);
    }
    small_ring(const small_ring&) = delete;
    small_ring& operator=(const small_ring&) = delete;

    int status() const noexcept { return status_; }
    io_uring* operator&() noexcept { return &ring_; }
    unsigned features() const noexcept { return ring_.features; }

    // The result of one operation, or the error of submitting it.
    template <class Prepare> int run(Prepare prepare) noexcept {
        prepare(io_uring_get_sqe(&ring_));
        io_uring_cqe* completion = nullptr;
        int returned = io_uring_submit(&ring_);
        if (returned < 0) return returned;
        do {
            returned = io_uring_wait_cqe(&ring_, &completion);
        } while (returned == -EINTR);
        if (returned < 0) return returned;
        const int result = completion->res;
        io_uring_cqe_seen(&ring_, completion);
        return result;
    }

  private:
    io_uring ring_{};
    int status_;
};

// A kernel says EINVAL to what it does not know. Everything else (EBADF, ENOENT, even ENOMEM) comes after it
// has understood the request.
bool understood(int result) noexcept {
    return result != -EINVAL;
}

void probe_features(capabilities& found, unsigned features) noexcept {
    found.nodrop = features & IORING_FEAT_NODROP;
    found.submit_stable = features & IORING_FEAT_SUBMIT_STABLE;
    found.ext_arg = features & IORING_FEAT_EXT_ARG;
    found.cqe_skip = features & IORING_FEAT_CQE_SKIP;
    found.linked_file = features & IORING_FEAT_LINKED_FILE;
    found.recvsend_bundle = features & IORING_FEAT_RECVSEND_BUNDLE;
    found.min_timeout = features & IORING_FEAT_MIN_TIMEOUT;
    found.no_iowait = features & detail::feature_no_iowait;
}

std::expected<void, int> probe_operations(capabilities& found, small_ring& ring) {
    constexpr unsigned room = 256;
    const auto memory =
        std::make_unique<unsigned char[]>(sizeof(io_uring_probe) + room * sizeof(io_uring_probe_op));
    const auto probe = reinterpret_cast<io_uring_probe*>(memory.get());
    const int returned = io_uring_register_probe(&ring, probe, room);
    if (returned == -EINVAL) return {}; // before Linux 5.6: none of what chainring needs
    if (returned < 0) return std::unexpected(-returned);
    const auto has = [&](auto... opcode) { return (io_uring_opcode_supported(probe, opcode) && ...); };
    found.socket_operations =
        has(IORING_OP_SEND, IORING_OP_RECV, IORING_OP_SENDMSG, IORING_OP_RECVMSG, IORING_OP_ACCEPT,
            IORING_OP_CONNECT, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE);
    found.msg_ring = has(IORING_OP_MSG_RING);
    found.send_zc = has(IORING_OP_SEND_ZC);
    found.sendmsg_zc = has(IORING_OP_SENDMSG_ZC);
    found.fixed_fd_install = has(IORING_OP_FIXED_FD_INSTALL);
    found.bind_listen = has(IORING_OP_BIND, IORING_OP_LISTEN);
    return {};
}

bool has_buffer_ring(small_ring& ring, unsigned flags) noexcept {
    constexpr int group = 0;
    int returned = 0;
    io_uring_buf_ring* const buffers = io_uring_setup_buf_ring(&ring, 1, group, flags, &returned);
    if (buffers) io_uring_free_buf_ring(&ring, buffers, 1, group);
    return buffers || understood(returned);
}

void probe_registrations(capabilities& found, small_ring& ring) noexcept {
    found.buffer_ring = has_buffer_ring(ring, 0);
    found.incremental_buffer_ring = has_buffer_ring(ring, IOU_PBUF_RING_INC);
    found.eventfd = understood(io_uring_register_eventfd(&ring, -1));

    io_uring_sync_cancel_reg cancel{};
    cancel.addr = 1; // nothing has this user_data
    cancel.timeout.tv_sec = -1;
    cancel.timeout.tv_nsec = -1;
    found.sync_cancel = understood(io_uring_register_sync_cancel(&ring, &cancel));

    const int files = io_uring_register_files_sparse(&ring, 4);
    found.direct_descriptors = understood(files);
    found.direct_descriptor_range = files == 0 && understood(io_uring_register_file_alloc_range(&ring, 0, 4));

    io_uring_sqe message{};
    io_uring_prep_msg_ring(&message, -1, 0, 0, 0);
    found.sync_msg_ring = understood(io_uring_register(-1U, register_send_msg_ring, &message, 1));

    found.registered_ring = io_uring_register_ring_fd(&ring) == 1;
}

// The descriptor -1 keeps sockets out of this: the kernel reads an operation's flags first, and finds the
// descriptor wanting (EBADF) only after it has understood them. Kernels without linked_file look in the other
// order.
void probe_socket_operations(capabilities& found, small_ring& ring) noexcept {
    if (!found.linked_file) return;
    const auto knows = [&](auto prepare) { return understood(ring.run(prepare)); };
    found.multishot_accept =
        knows([](io_uring_sqe* sqe) { io_uring_prep_multishot_accept(sqe, -1, nullptr, nullptr, 0); });
    const auto receive = [](io_uring_sqe* sqe) {
        io_uring_prep_recv_multishot(sqe, -1, nullptr, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
    };
    found.multishot_receive = knows(receive);
    found.receive_limit = found.multishot_receive && knows([&](io_uring_sqe* sqe) {
                              receive(sqe);
                              sqe->len = 1;
                              sqe->optlen = 1;
                          });
    char byte = 0;
    iovec buffers[1] = {{&byte, 1}};
    found.vectored_send = knows([&](io_uring_sqe* sqe) {
        io_uring_prep_send(sqe, -1, buffers, 1, MSG_NOSIGNAL);
        sqe->ioprio |= send_vectorized;
    });
    found.cancel_by_descriptor =
        knows([](io_uring_sqe* sqe) { io_uring_prep_cancel_fd(sqe, -1, IORING_ASYNC_CANCEL_ALL); });
    found.cancel_by_operation = knows([](io_uring_sqe* sqe) {
        io_uring_prep_cancel(sqe, nullptr, IORING_ASYNC_CANCEL_OP | IORING_ASYNC_CANCEL_ALL);
        sqe->len = IORING_OP_NOP;
    });
}

std::expected<capabilities, int> probe_kernel() {
    capabilities found;
    small_ring ring;
    if (ring.status() < 0) return std::unexpected(-ring.status());
    // A filter may let io_uring_setup pass and stop io_uring_enter.
    if (const int result = ring.run([](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); }); result < 0) {
        return std::unexpected(-result);
    }
    if (auto probed = probe_setup_flags(found); !probed) return std::unexpected(probed.error());
    probe_features(found, ring.features());
    if (auto probed = probe_operations(found, ring); !probed) return std::unexpected(probed.error());
    probe_socket_operations(found, ring);
    probe_registrations(found, ring);
    return found;
}

} // namespace

bool capabilities::latency_mode() const noexcept {
    return all_needed(*this, false);
}

bool capabilities::throughput_mode() const noexcept {
    return all_needed(*this, true);
}

std::span<const capability> capability_table() noexcept {
    return table;
}

std::expected<capabilities, setup_failure> probe_capabilities() {
    auto found = probe_kernel();
    if (!found) return std::unexpected(diagnose_setup_failure(found.error()));
    return *found;
}

} // namespace chainring
