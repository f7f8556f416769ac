// In steady state a task, a sleep and an operation cost no trip to the heap. malloc itself is counted, so
// that nothing goes unseen; only glibc lends its own under another name.
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/offload.hpp>
#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/try.hpp>

#include <cstdlib>

using namespace chainring;
using namespace chainring::test;

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CHAINRING_COUNTS_MALLOC 1
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#undef CHAINRING_COUNTS_MALLOC
#endif
#endif
#endif

#if defined(CHAINRING_COUNTS_MALLOC)

namespace {
constinit thread_local unsigned long allocations = 0;
}

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);

void* malloc(std::size_t size) {
    ++allocations;
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    ++allocations;
    return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
    ++allocations;
    return __libc_realloc(memory, size);
}
}

namespace {

// Allocations of the second of two equal runs of `work`.
template <class Work> task<unsigned long> allocations_when_warm(Work work) {
    co_await work();
    const unsigned long before = allocations;
    co_await work();
    co_return allocations - before;
}

task<int> value_of(int value) {
    co_return value;
}

task<result<int>> outcome_after_a_turn(int value) {
    const int done = co_await try_(no_operation());
    co_return done + value;
}

} // namespace

TEST_CASE("the_counter_sees_allocations") {
    const unsigned long before = allocations;
    auto* volatile one = new int(1);
    void* volatile two = std::malloc(10);
    CHECK(allocations >= before + 2);
    delete one;
    std::free(two);
}

TEST_CASE("awaiting_tasks_allocates_nothing_in_steady_state", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const unsigned long counted = used.run(allocations_when_warm([]() -> task<> {
        for (int i = 0; i < 1000; ++i) {
            (void)co_await value_of(i);
            (void)co_await outcome_after_a_turn(i);
        }
    }));
    CHECK(counted == 0);
}

TEST_CASE("operations_allocate_nothing_in_steady_state", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const unsigned long counted = used.run(allocations_when_warm([]() -> task<> {
        for (int i = 0; i < 1000; ++i) (void)co_await no_operation();
    }));
    CHECK(counted == 0);
}

TEST_CASE("sleeping_allocates_nothing_in_steady_state") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const unsigned long counted = used.run(allocations_when_warm([]() -> task<> {
        for (int i = 0; i < 20; ++i) (void)co_await sleep(std::chrono::microseconds(i * 5));
    }));
    CHECK(counted == 0);
}

TEST_CASE("scopes_and_spawned_tasks_allocate_nothing_in_steady_state", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const unsigned long counted = used.run(allocations_when_warm([]() -> task<> {
        for (int round = 0; round < 10; ++round) {
            co_await scope([](task_group& group) -> task<> {
                for (int i = 0; i < 300; ++i)
                    group.spawn([]() -> task<> { (void)co_await no_operation(); }());
                co_return;
            });
        }
    }));
    CHECK(counted == 0);
}

TEST_CASE("cancelling_allocates_nothing_in_steady_state", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    const unsigned long counted = used.run(allocations_when_warm([&]() -> task<> {
        task_group group(co_await this_scope{});
        char memory[8];
        for (int i = 0; i < 100; ++i) {
            group.spawn([](int from, char* to) -> task<> {
                (void)co_await read_into(from, {to, 8});
            }(pipe.reading(), memory));
            group.spawn([]() -> task<> { (void)co_await sleep(std::chrono::hours(1)); }());
        }
        co_await next_turn{};
        co_await next_turn{};
        group.cancel();
        co_await group.join();
    }));
    CHECK(counted == 0);
}

TEST_CASE("offloading_allocates_nothing_on_the_executors_thread_in_steady_state", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    blocking_pool pool({.threads = 1});
    const unsigned long counted = used.run(allocations_when_warm([&]() -> task<> {
        for (int i = 0; i < 100; ++i) (void)co_await offload(pool, [i] { return i; });
    }));
    CHECK(counted == 0);
}

TEST_CASE("intrusive_posts_allocate_nothing") {
    struct counting final : posted_work {
        int runs = 0;
        void run() noexcept override { ++runs; }
    };
    executor used({}, test_kernel());
    const unsigned long counted = used.run(allocations_when_warm([&]() -> task<> {
        counting work;
        for (int i = 0; i < 100; ++i) {
            used.post(work);
            co_await next_turn{};
        }
        CHECK(work.runs == 100);
    }));
    CHECK(counted <= 2); // the CHECK's own
}

#else

TEST_CASE("nothing_is_allocated_in_steady_state") {
    SKIP("a sanitizer owns malloc here, or the C library is not glibc");
}

#endif
