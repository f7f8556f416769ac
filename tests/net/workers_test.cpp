// What the kernel hands to a worker thread is slow, and what is sent after it overtakes it. Nothing that a send queue
// does may end there: the workers of a thread carry its number in their names.
#include "sockets.hpp"

#include <filesystem>
#include <fstream>

using namespace chainring;
using namespace chainring::test;

namespace {

std::size_t workers_of_this_thread() {
    const std::string wanted = "iou-wrk-" + std::to_string(::gettid());
    std::size_t count = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(thread.path() / "comm"), name);
        if (name == wanted) ++count;
    }
    return count;
}

// Many messages through small buffers to a peer that reads a little at a time, and that may have said already that it
// sends nothing more.
template <class Over> task<> converse_slowly(int messages, std::size_t size, bool half_closed) {
    auto pair = co_await connected<Over>(4096);
    if (half_closed) must(co_await pair.far.shutdown());
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](auto& to, int count, std::size_t bytes) -> task<> {
            for (int at = 0; at < count; ++at) must(co_await to.write(std::string(bytes, 'x')));
            must(co_await to.shutdown());
        }(pair.near, messages, size));
        std::size_t total = 0;
        for (;;) {
            const buffer part = must(co_await pair.far.receive());
            if (part.empty()) break;
            total += part.size();
            co_await one_turn();
        }
        CHECK(total == static_cast<std::size_t>(messages) * size);
    });
}

} // namespace

TEST_CASE("a_worker_thread_is_recognised", "[linux]") {
    std::thread([] {
        executor home;
        home.run([]() -> task<> {
            CHECK(workers_of_this_thread() == 0);
            // Asked for by its flag.
            (void)co_await uring([](io_uring_sqe& sqe) {
                io_uring_prep_nop(&sqe);
                sqe.flags |= IOSQE_ASYNC;
            });
            CHECK(workers_of_this_thread() > 0);
        }());
    }).join();
}

TEST_CASE("no_send_of_a_queue_falls_to_a_worker_thread", "[linux]") {
    const auto mode = GENERATE(both_modes());
    const bool half_closed = GENERATE(false, true);
    std::thread([mode, half_closed] {
        on_executor(mode, [half_closed]() -> task<> {
            co_await converse_slowly<over_tcp>(300, 10'000, half_closed);
            CHECK(workers_of_this_thread() == 0);
            co_await converse_slowly<over_unix>(300, 10'000, half_closed);
            CHECK(workers_of_this_thread() == 0);
            co_await converse_slowly<over_seqpacket>(2000, 500, half_closed);
            CHECK(workers_of_this_thread() == 0);
        });
    }).join();
}
