#include <chainring/runtime/capabilities.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string_view>

using namespace chainring;

namespace {

capabilities probed() {
    auto found = probe_capabilities();
    if (!found) SKIP("io_uring is not available here: " << found.error().text);
    return *found;
}

// A closed ring gives back its locked memory late, and for users without CAP_IPC_LOCK there may be little of
// it.
bool open(io_uring& ring, unsigned flags) {
    const int returned = io_uring_queue_init(8, &ring, flags);
    if (returned == -ENOMEM) SKIP("no memory for a ring: raise the limit of locked memory (ulimit -l)");
    return returned == 0;
}

bool opens(unsigned flags) {
    io_uring ring;
    if (!open(ring, flags)) return false;
    io_uring_queue_exit(&ring);
    return true;
}

class open_ring {
  public:
    open_ring() {
        const bool opened = open(ring, 0); // may skip, which REQUIRE would take for a failure
        REQUIRE(opened);
    }
    ~open_ring() { io_uring_queue_exit(&ring); }
    open_ring(const open_ring&) = delete;
    open_ring& operator=(const open_ring&) = delete;

    io_uring_cqe next() {
        io_uring_cqe* completion = nullptr;
        REQUIRE(io_uring_submit_and_wait(&ring, 1) >= 0);
        REQUIRE(io_uring_peek_cqe(&ring, &completion) == 0);
        const io_uring_cqe copy = *completion;
        io_uring_cqe_seen(&ring, completion);
        return copy;
    }

    io_uring ring{};
};

// Gives a buffer ring of one buffer, in group 0.
class one_buffer {
  public:
    explicit one_buffer(io_uring& ring)
        : ring_(ring) {
        int error = 0;
        entries_ = io_uring_setup_buf_ring(&ring, 1, 0, 0, &error);
        REQUIRE(entries_ != nullptr);
        io_uring_buf_ring_add(entries_, memory_.data(), memory_.size(), 0, 0, 0);
        io_uring_buf_ring_advance(entries_, 1);
    }
    ~one_buffer() { io_uring_free_buf_ring(&ring_, entries_, 1, 0); }
    one_buffer(const one_buffer&) = delete;
    one_buffer& operator=(const one_buffer&) = delete;

  private:
    io_uring& ring_;
    io_uring_buf_ring* entries_ = nullptr;
    std::array<char, 64> memory_{};
};

struct socket_pair {
    socket_pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); }
    ~socket_pair() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    int ends[2];
};

std::size_t descriptors_in_use() {
    std::size_t count = 0;
    for (int descriptor = 0; descriptor < 1024; ++descriptor) count += ::fcntl(descriptor, F_GETFD) >= 0;
    return count;
}

} // namespace

TEST_CASE("the_table_names_every_capability_once_and_in_order", "[linux]") {
    capabilities all;
    std::set<std::string_view> names;
    const bool* const first = &all.start_disabled;
    for (std::size_t position = 0; const capability& entry : capability_table()) {
        CHECK(&(all.*entry.member) == first + position++);
        CHECK(names.insert(entry.name).second);
        CHECK_FALSE(entry.since.empty());
        CHECK_FALSE(entry.without.empty());
    }
    CHECK(names.size() == sizeof(capabilities));
}

TEST_CASE("the_modes_ask_for_exactly_the_members_marked_as_needed", "[linux]") {
    capabilities all;
    for (const capability& entry : capability_table()) all.*entry.member = true;
    REQUIRE(all.latency_mode());
    REQUIRE(all.throughput_mode());
    for (const capability& entry : capability_table()) {
        CAPTURE(entry.name);
        capabilities without = all;
        without.*entry.member = false;
        CHECK(without.latency_mode() == (entry.need != needed_for::every_mode));
        CHECK(without.throughput_mode() == (entry.need == needed_for::nothing));
    }
}

TEST_CASE("the_probe_agrees_with_opening_rings_by_liburing", "[linux]") {
    struct expectation {
        bool found;
        unsigned flags;
    };
    const capabilities found = probed();
    const expectation expectations[] = {
        {found.start_disabled, IORING_SETUP_R_DISABLED},
        {found.submit_all, IORING_SETUP_SUBMIT_ALL},
        {found.coop_taskrun, IORING_SETUP_COOP_TASKRUN},
        {found.taskrun_flag, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG},
        {found.single_issuer, IORING_SETUP_SINGLE_ISSUER},
        {found.defer_taskrun, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
        {found.no_sqarray, IORING_SETUP_NO_SQARRAY},
    };
    for (const auto [expected, flags] : expectations) {
        const bool opened = opens(flags); // may skip, which CHECK would take for a failure
        CAPTURE(flags);
        CHECK(opened == expected);
    }
}

TEST_CASE("the_probe_agrees_with_the_features_that_a_ring_announces", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    const auto has = [&](unsigned feature) { return (ring.ring.features & feature) != 0; };
    CHECK(found.nodrop == has(IORING_FEAT_NODROP));
    CHECK(found.submit_stable == has(IORING_FEAT_SUBMIT_STABLE));
    CHECK(found.ext_arg == has(IORING_FEAT_EXT_ARG));
    CHECK(found.cqe_skip == has(IORING_FEAT_CQE_SKIP));
    CHECK(found.linked_file == has(IORING_FEAT_LINKED_FILE));
    CHECK(found.recvsend_bundle == has(IORING_FEAT_RECVSEND_BUNDLE));
    CHECK(found.min_timeout == has(IORING_FEAT_MIN_TIMEOUT));
    CHECK(found.no_iowait == has(1U << 17));
}

TEST_CASE("the_probe_agrees_with_the_opcodes_that_liburing_reports", "[linux]") {
    const capabilities found = probed();
    const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
        io_uring_get_probe(), io_uring_free_probe);
    REQUIRE(probe);
    const auto has = [&](int opcode) { return io_uring_opcode_supported(probe.get(), opcode) != 0; };
    CHECK(found.socket_operations == (has(IORING_OP_SEND) && has(IORING_OP_CONNECT)));
    CHECK(found.msg_ring == has(IORING_OP_MSG_RING));
    CHECK(found.send_zc == has(IORING_OP_SEND_ZC));
    CHECK(found.sendmsg_zc == has(IORING_OP_SENDMSG_ZC));
    CHECK(found.fixed_fd_install == has(IORING_OP_FIXED_FD_INSTALL));
    CHECK(found.bind_listen == (has(IORING_OP_BIND) && has(IORING_OP_LISTEN)));
}

// The probe asks without sockets; these do the thing.
TEST_CASE("a_multishot_receive_stays_armed_if_the_probe_says_so", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    if (!found.buffer_ring) SKIP("no buffer rings");
    one_buffer buffer(ring.ring);
    socket_pair pair;
    REQUIRE(::send(pair.ends[1], "x", 1, MSG_NOSIGNAL) == 1);
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_recv_multishot(sqe, pair.ends[0], nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    const io_uring_cqe completion = ring.next();
    CHECK((completion.res == 1 && (completion.flags & IORING_CQE_F_MORE)) == found.multishot_receive);
}

TEST_CASE("a_multishot_receive_ends_at_its_limit_if_the_probe_says_so", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    if (!found.buffer_ring) SKIP("no buffer rings");
    one_buffer buffer(ring.ring);
    socket_pair pair;
    REQUIRE(::send(pair.ends[1], "xyz", 3, MSG_NOSIGNAL) == 3);
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_recv_multishot(sqe, pair.ends[0], nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->len = 2;    // a shot
    sqe->optlen = 2; // in all; by itself it ends the receive without cutting the shot that reaches it
    const io_uring_cqe completion = ring.next();
    CHECK((completion.res == 2 && !(completion.flags & IORING_CQE_F_MORE)) == found.receive_limit);
}

TEST_CASE("a_multishot_accept_stays_armed_if_the_probe_says_so", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    REQUIRE(::connect(client, reinterpret_cast<sockaddr*>(&address), length) == 0);
    io_uring_prep_multishot_accept(io_uring_get_sqe(&ring.ring), listener, nullptr, nullptr, SOCK_CLOEXEC);
    const io_uring_cqe completion = ring.next();
    CHECK((completion.res >= 0 && (completion.flags & IORING_CQE_F_MORE)) == found.multishot_accept);
    if (completion.res >= 0) ::close(completion.res);
    ::close(client);
    ::close(listener);
}

TEST_CASE("a_send_gathers_buffers_if_the_probe_says_so", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    socket_pair pair;
    char text[] = "chainring";
    iovec buffers[2] = {{text, 5}, {text + 5, 4}};
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_send(sqe, pair.ends[1], buffers, 2, MSG_NOSIGNAL);
    sqe->ioprio |= 1U << 5; // IORING_SEND_VECTORIZED
    CHECK((ring.next().res == 9) == found.vectored_send);
}

TEST_CASE("everything_on_a_descriptor_can_be_cancelled_if_the_probe_says_so", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    socket_pair pair;
    char byte = 0;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_recv(sqe, pair.ends[0], &byte, 1, 0);
    sqe->user_data = 1;
    REQUIRE(io_uring_submit(&ring.ring) == 1);

    const bool by_descriptor = GENERATE(true, false);
    sqe = io_uring_get_sqe(&ring.ring);
    if (by_descriptor) {
        io_uring_prep_cancel_fd(sqe, pair.ends[0], IORING_ASYNC_CANCEL_ALL);
    } else {
        io_uring_prep_cancel(sqe, nullptr, IORING_ASYNC_CANCEL_OP | IORING_ASYNC_CANCEL_ALL);
        sqe->len = IORING_OP_RECV;
    }
    sqe->user_data = 2;
    io_uring_cqe completion = ring.next();
    if (completion.user_data == 1) completion = ring.next();
    CHECK((completion.res == 1) == (by_descriptor ? found.cancel_by_descriptor : found.cancel_by_operation));
}

TEST_CASE("the_registrations_succeed_that_the_probe_found", "[linux]") {
    const capabilities found = probed();
    open_ring ring;
    int error = 0;
    for (const bool incremental : {false, true}) {
        io_uring_buf_ring* const entries =
            io_uring_setup_buf_ring(&ring.ring, 4, 7, incremental ? IOU_PBUF_RING_INC : 0, &error);
        CHECK((entries != nullptr) == (incremental ? found.incremental_buffer_ring : found.buffer_ring));
        if (entries) io_uring_free_buf_ring(&ring.ring, entries, 4, 7);
    }
    CHECK((io_uring_register_files_sparse(&ring.ring, 8) == 0) == found.direct_descriptors);
    CHECK((io_uring_register_file_alloc_range(&ring.ring, 2, 4) == 0) == found.direct_descriptor_range);
    CHECK((io_uring_register_ring_fd(&ring.ring) == 1) == found.registered_ring);

    io_uring_sync_cancel_reg cancel{};
    cancel.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    cancel.timeout = {-1, -1};
    const int cancelled = io_uring_register_sync_cancel(&ring.ring, &cancel);
    CHECK((cancelled == 0 || cancelled == -ENOENT) == found.sync_cancel);

    io_uring_sqe message{};
    io_uring_prep_msg_ring(&message, ring.ring.ring_fd, 42, 43, 0);
    constexpr unsigned register_send_msg_ring = 31;
    CHECK((io_uring_register(-1U, register_send_msg_ring, &message, 1) == 0) == found.sync_msg_ring);
}

TEST_CASE("probing_leaves_no_descriptor_behind", "[linux]") {
    probed();
    const std::size_t before = descriptors_in_use();
    for (int round = 0; round < 3; ++round) probed();
    CHECK(descriptors_in_use() == before);
}
