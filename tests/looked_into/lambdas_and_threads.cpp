// Work on a thread and operations of the ring, whose types name lambdas: gdb does not find those.
#include <chainring/chainring.hpp>

#include <unistd.h>

#include <cstdio>

namespace cr = chainring;

namespace {

cr::task<> works() {
    (void)co_await cr::timeout(std::chrono::hours(1), cr::offload([] { ::sleep(3600); }));
}

cr::task<> reads(int from) {
    static char memory[8];
    auto reading = cr::uring([from](io_uring_sqe& sqe) { io_uring_prep_read(&sqe, from, memory, 8, -1); });
    (void)co_await cr::timeout(std::chrono::hours(2), std::move(reading));
}

cr::task<> polls(int from) {
    (void)co_await cr::uring([from](io_uring_sqe& sqe) { io_uring_prep_poll_add(&sqe, from, 1); });
}

cr::task<> both() {
    int ends[2];
    if (::pipe(ends) != 0) co_return;
    co_await cr::scope([&ends](cr::task_group& group) -> cr::task<> {
        group.spawn(works());
        group.spawn(reads(ends[0]));
        group.spawn(polls(ends[0]));
        for (int turn = 0; turn < 10; ++turn) co_await cr::yield();
        std::puts("waiting for nothing");
        std::fflush(stdout);
    });
}

} // namespace

int main() {
    return cr::runtime{}.run(both());
}
