// Loads an echo server with short lives: connect, exchange one message, close, again and again, some at a time.
//
// A life by itself is seven system calls, which would make the client the slower side: the server would idle, and
// all servers look alike. Here it is one chain of operations on a direct descriptor, submitted with the others'.
#include "command_line.hpp"
#include "load.hpp"

#include <liburing.h>

namespace {

class ring {
  public:
    ring(unsigned lives, unsigned steps) {
        io_uring_params wanted{};
        wanted.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
        checked(io_uring_queue_init_params(lives * steps, &ring_, &wanted), "io_uring_setup");
        checked(io_uring_register_files_sparse(&ring_, lives), "IORING_REGISTER_FILES2");
    }
    ~ring() { io_uring_queue_exit(&ring_); }
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;

    // There is always room: for all the steps of all the lives.
    template <class Prepare> void add(void* owner, unsigned flags, Prepare&& prepare) {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        prepare(sqe);
        io_uring_sqe_set_flags(sqe, flags);
        io_uring_sqe_set_data(sqe, owner);
    }

    template <class Visitor> void submit_and_wait(Visitor&& visit) {
        __kernel_timespec limit{.tv_sec = clients::patience.count(), .tv_nsec = 0};
        io_uring_cqe* first = nullptr;
        const int done = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
        if (done == -ETIME) throw clients::load_error("no reply within two seconds");
        checked(done, "io_uring_enter");
        unsigned head = 0;
        unsigned seen = 0;
        const io_uring_cqe* cqe = nullptr;
        io_uring_for_each_cqe(&ring_, head, cqe) {
            visit(io_uring_cqe_get_data(cqe), cqe->res);
            ++seen;
        }
        io_uring_cq_advance(&ring_, seen);
    }

  private:
    static void checked(int result, const char* what) {
        if (result < 0) throw clients::load_error(std::string(what) + ": " + std::strerror(-result));
    }

    io_uring ring_{};
};

class life {
  public:
    static constexpr std::array steps{"socket", "connect", "send", "receive", "SO_LINGER", "close"};

    life(int descriptor, std::size_t size)
        : descriptor_(descriptor)
        , pattern_(static_cast<std::uint64_t>(descriptor))
        , message_(size, '\0')
        , reply_(size, '\0') {}

    bool under_way() const { return steps_left_ != 0; }

    void begin(ring& on, const sockaddr_in& server) {
        begun_ = clients::clock_type::now();
        pattern_.fill(message_);
        steps_left_ = steps.size();
        const int file = descriptor_;
        const auto index = static_cast<unsigned>(file);
        constexpr unsigned next = IOSQE_IO_LINK;
        constexpr unsigned next_on_file = IOSQE_IO_LINK | IOSQE_FIXED_FILE;
        on.add(this, next, [&](io_uring_sqe* sqe) {
            io_uring_prep_socket_direct(sqe, AF_INET, SOCK_STREAM, 0, index, 0);
        });
        on.add(this, next_on_file, [&](io_uring_sqe* sqe) {
            io_uring_prep_connect(sqe, file, reinterpret_cast<const sockaddr*>(&server), sizeof server);
        });
        on.add(this, next_on_file, [&](io_uring_sqe* sqe) {
            io_uring_prep_send(sqe, file, message_.data(), message_.size(), MSG_WAITALL | MSG_NOSIGNAL);
        });
        on.add(this, next_on_file, [&](io_uring_sqe* sqe) {
            io_uring_prep_recv(sqe, file, reply_.data(), reply_.size(), MSG_WAITALL);
        });
        // By a reset: an orderly close would leave a port in TIME_WAIT for each life.
        on.add(this, next_on_file, [&](io_uring_sqe* sqe) {
            static linger reset{.l_onoff = 1, .l_linger = 0};
            io_uring_prep_cmd_sock(
                sqe, SOCKET_URING_OP_SETSOCKOPT, file, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        });
        on.add(this, 0, [&](io_uring_sqe* sqe) { io_uring_prep_close_direct(sqe, index); });
    }

    // The steps end in order, and those behind one that failed are cancelled.
    void step_ended(int result, clients::window& measured) {
        const std::string ended = steps[steps.size() - steps_left_];
        if (result < 0) throw clients::load_error(ended + ": " + std::strerror(-result));
        const bool moves_bytes = ended == "send" || ended == "receive";
        if (moves_bytes && static_cast<std::size_t>(result) != message_.size())
            throw clients::load_error(ended + ": the connection ended early");
        if (ended == "receive" && reply_ != message_) throw clients::load_error("a wrong reply");
        if (--steps_left_ == 0) measured.count(1, clients::clock_type::now() - begun_);
    }

  private:
    int descriptor_;
    std::size_t steps_left_ = 0;
    clients::pattern pattern_;
    std::string message_;
    std::string reply_;
    clients::clock_type::time_point begun_;
};

void load(const sockaddr_in& server, unsigned parallel, std::size_t size, clients::window& measured) {
    std::vector<life> lives;
    for (unsigned number = 0; number < parallel; ++number) lives.emplace_back(static_cast<int>(number), size);
    ring lived_on(parallel, life::steps.size());
    unsigned under_way = 0;
    while (true) {
        const bool open = measured.open();
        for (life& each : lives) {
            if (!open || each.under_way()) continue;
            each.begin(lived_on, server);
            ++under_way;
        }
        if (under_way == 0) return;
        lived_on.submit_and_wait([&](void* owner, int result) {
            life& each = *static_cast<life*>(owner);
            each.step_ended(result, measured);
            if (!each.under_way()) --under_way;
        });
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string connect = "127.0.0.1:7000";
    unsigned parallel = 16;
    std::size_t size = 64;
    unsigned exchanges = 100'000;
    double seconds = 60;
    double warm_up = 1;
    bool json = false;
    command_line arguments("churn_load: connect, exchange one message, close, again and again");
    arguments.option("--connect", connect, "the server, IPv4 address and port");
    arguments.option("--connections", parallel, "connections at a time").between(1, 4096);
    arguments.option("--size", size, "bytes of the message").between(1, 4096);
    arguments.option("--exchanges", exchanges, "how many are measured").between(1, 100'000'000);
    arguments.option("--seconds", seconds, "how long they may take at most").between(0.01, 3600);
    arguments.option("--warmup", warm_up, "seconds before it").between(0, 3600);
    arguments.flag("--json", json, "does nothing: the output is JSON always");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(warm_up, seconds);
    measured.limit(exchanges);
    return clients::report(
        "churn_load", measured, [&] { load(peers::parse_address(connect), parallel, size, measured); });
}
