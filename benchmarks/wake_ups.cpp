// How one ring's thread wakes another: by an eventfd, which the sleeper reads through its ring, or by MSG_RING. Two threads pass a
// turn to and fro and sleep in between, as executors with one task do that call each other. The ways take turns, in many short
// rounds.
//
//     build/benchmarks/wake_ups            half of the time of a round trip, and CPU time of both threads for one wake-up
#include <liburing.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

enum class way : std::uint8_t {
    eventfd,           // write(2) at once
    message_at_once,   // MSG_RING, submitted by itself
    message_with_wait, // MSG_RING, submitted with the wait that follows: not before the end of the turn
};
constexpr std::array ways{way::eventfd, way::message_at_once, way::message_with_wait};
constexpr std::array names{
    "eventfd, written at once", "MSG_RING, submitted at once", "MSG_RING, submitted with the sender's wait"};

constexpr int trips = 2'000;
constexpr int rounds = 40;

double nanoseconds(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void must(int returned, const char* what) {
    if (returned >= 0) return;
    std::fprintf(stderr, "wake_ups: %s: errno %d\n", what, -returned);
    std::exit(1);
}

class sleeper {
  public:
    sleeper() {
        io_uring_params parameters{};
        parameters.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        must(io_uring_queue_init_params(64, &ring_, &parameters), "io_uring_queue_init_params");
        event_ = ::eventfd(0, EFD_CLOEXEC);
    }
    ~sleeper() {
        io_uring_queue_exit(&ring_);
        ::close(event_);
    }
    sleeper(const sleeper&) = delete;
    sleeper& operator=(const sleeper&) = delete;

    void begin() { must(io_uring_enable_rings(&ring_), "io_uring_enable_rings"); }

    void wake(sleeper& other, way by) {
        if (by == way::eventfd) {
            const std::uint64_t one = 1;
            (void)!::write(other.event_, &one, sizeof one);
            return;
        }
        io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
        io_uring_prep_msg_ring(sqe, other.ring_.ring_fd, 0, woken, 0);
        io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
        sqe->user_data = 0;
        if (by == way::message_at_once) must(io_uring_submit(&ring_), "submit");
    }

    void send_what_waits() { must(io_uring_submit(&ring_), "submit"); }

    void sleep(way by) {
        if (by == way::eventfd) {
            io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
            io_uring_prep_read(sqe, event_, &count_, sizeof count_, 0);
            sqe->user_data = woken;
        }
        for (bool again = true; again;) {
            must(io_uring_submit_and_wait(&ring_, 1), "submit_and_wait");
            io_uring_cqe* cqe = nullptr;
            while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
                if (cqe->user_data == woken) again = false;
                io_uring_cqe_seen(&ring_, cqe);
            }
        }
    }

  private:
    static constexpr std::uint64_t woken = 7;

    io_uring ring_{};
    int event_ = -1;
    std::uint64_t count_ = 0;
};

double median(std::vector<double>& of) {
    std::ranges::sort(of);
    return of[of.size() / 2];
}

} // namespace

int main() {
    sleeper first;
    sleeper second;
    std::barrier both(2);
    std::array<std::vector<double>, ways.size()> times;
    std::array<std::vector<double>, ways.size()> cpu;
    const std::jthread other([&] {
        second.begin();
        for (int round = 0; round < rounds; ++round)
            for (const way by : ways) {
                both.arrive_and_wait();
                for (int trip = 0; trip < trips; ++trip) {
                    second.sleep(by);
                    second.wake(first, by);
                }
                if (by == way::message_with_wait) second.send_what_waits();
                both.arrive_and_wait();
            }
    });
    first.begin();
    for (int round = 0; round < rounds; ++round)
        for (std::size_t at = 0; at < ways.size(); ++at) {
            both.arrive_and_wait();
            const double begun = nanoseconds(CLOCK_MONOTONIC);
            const double spent = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
            for (int trip = 0; trip < trips; ++trip) {
                first.wake(second, ways[at]);
                first.sleep(ways[at]);
            }
            times[at].push_back((nanoseconds(CLOCK_MONOTONIC) - begun) / (2 * trips));
            cpu[at].push_back((nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - spent) / (2 * trips));
            both.arrive_and_wait();
        }
    std::printf("%-46s %16s %16s\n", "", "one way, ns", "CPU time, ns");
    for (std::size_t at = 0; at < ways.size(); ++at)
        std::printf("%-46s %16.0f %16.0f\n", names[at], median(times[at]), median(cpu[at]));
}
