#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/frame_pool.hpp>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;

TEST_CASE("a_frame_freed_is_the_next_one_of_its_size_class") {
    if (address_sanitizer)
        SKIP("frames are not recycled, so that the sanitizer sees every use of a dead one");
    for (const std::size_t size : {1U, 64U, 65U, 1000U, 2049U, 8192U}) {
        CAPTURE(size);
        void* const first = frame_pool::allocate(size);
        frame_pool::release(first, size);
        void* const second = frame_pool::allocate(size);
        CHECK(second == first);
        frame_pool::release(second, size);
    }
}

TEST_CASE("frames_in_use_do_not_overlap") {
    struct frame {
        unsigned char* memory;
        std::size_t size;
        unsigned char mark;
    };
    std::vector<frame> frames;
    unsigned char mark = 0;
    for (int round = 0; round < 3; ++round) {
        for (std::size_t size = 1; size < 9000; size += 61) {
            auto* memory = static_cast<unsigned char*>(frame_pool::allocate(size));
            REQUIRE(reinterpret_cast<std::uintptr_t>(memory) % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0);
            std::memset(memory, ++mark, size);
            frames.push_back({memory, size, mark});
        }
        bool intact = true;
        for (const frame& used : frames)
            for (std::size_t at = 0; at < used.size; ++at) intact = intact && used.memory[at] == used.mark;
        CHECK(intact);
        // Every other one goes back and is given out again in the next round.
        std::vector<frame> kept;
        for (std::size_t at = 0; at < frames.size(); ++at) {
            if (at % 2 == 0)
                frame_pool::release(frames[at].memory, frames[at].size);
            else
                kept.push_back(frames[at]);
        }
        frames.swap(kept);
    }
    for (const frame& used : frames) frame_pool::release(used.memory, used.size);
}

TEST_CASE("live_frames_are_counted") {
    const auto before = frame_pool::live();
    void* const small = frame_pool::allocate(100);
    void* const large = frame_pool::allocate(100'000);
    CHECK(frame_pool::live() == before + 2);
    frame_pool::release(small, 100);
    frame_pool::release(large, 100'000);
    CHECK(frame_pool::live() == before);
}

TEST_CASE("a_frame_may_be_freed_on_another_thread", "[linux]") {
    std::vector<void*> frames;
    std::thread([&] {
        for (int i = 0; i < 100; ++i) frames.push_back(frame_pool::allocate(200));
    }).join();
    for (void* frame : frames) std::memset(frame, 1, 200);
    for (void* frame : frames) frame_pool::release(frame, 200);
    // They are frames of this thread now, each of them once.
    std::set<void*> reused;
    for (int i = 0; i < 100; ++i) reused.insert(frame_pool::allocate(200));
    CHECK(reused.size() == 100);
    for (void* frame : reused) frame_pool::release(frame, 200);
}

TEST_CASE("trimming_gives_the_kept_memory_back_and_the_pool_goes_on") {
    void* const before = frame_pool::allocate(300);
    frame_pool::release(before, 300);
    frame_pool::trim();
    void* const after = frame_pool::allocate(300);
    std::memset(after, 1, 300);
    frame_pool::release(after, 300);
}

TEST_CASE("tasks_leave_no_frames_behind") {
    const auto before = frame_pool::live();
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        co_await scope([](task_group& group) -> task<> {
            for (int i = 0; i < 100; ++i) {
                group.spawn([]() -> task<> {
                    co_await yield();
                    (void)co_await no_operation();
                }());
            }
            co_return;
        });
    }());
    CHECK(frame_pool::live() == before);
}
