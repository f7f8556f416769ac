// What is destroyed while it is waited for.
#include "runtime/steps.hpp"
#include "sim/last_words.hpp"
#include "support.hpp"

#include <memory>

using namespace chainring;
using namespace chainring::test;

#ifndef NDEBUG // other builds log it

namespace {

task<> waits_for_a_lock(chainring::mutex& of) {
    (void)co_await of.lock();
}
task<> waits_for_a_value(channel<int>& from) {
    (void)co_await from.receive();
}
task<> waits_for_an_event(event& of) {
    (void)co_await of.wait();
}

// Aborts.
template <class Primitive> void destroy_with_a_waiter(Primitive& primitive, task<> waits) {
    executor used;
    used.run([](Primitive& of, task<> waiting) -> task<> {
        task_group group(co_await this_scope{});
        group.spawn(std::move(waiting));
        co_await yield();
        std::destroy_at(&of);
    }(primitive, std::move(waits)));
}

} // namespace

TEST_CASE("a_primitive_that_is_destroyed_while_tasks_wait_for_it_names_them", "[linux]") {
    const std::string of_a_mutex = last_words([] {
        alignas(chainring::mutex) std::byte memory[sizeof(chainring::mutex)];
        auto& one = *::new (memory) chainring::mutex;
        one.try_lock()->forget();
        destroy_with_a_waiter(one, waits_for_a_lock(one));
    });
    CHECK(of_a_mutex.starts_with("a mutex was destroyed while it was waited for by\n  "));
    CHECK(of_a_mutex.find("waits_for_a_lock at ") != std::string::npos);
    const std::string of_a_channel = last_words([] {
        alignas(channel<int>) std::byte memory[sizeof(channel<int>)];
        auto& values = *::new (memory) channel<int>(1);
        destroy_with_a_waiter(values, waits_for_a_value(values));
    });
    CHECK(of_a_channel.starts_with("a channel was destroyed while it was waited for by\n  "));
    CHECK(of_a_channel.find("waits_for_a_value at ") != std::string::npos);
    const std::string of_an_event = last_words([] {
        alignas(event) std::byte memory[sizeof(event)];
        auto& one = *::new (memory) event;
        destroy_with_a_waiter(one, waits_for_an_event(one));
    });
    CHECK(of_an_event.starts_with("an event was destroyed while it was waited for by\n  "));
}

#endif
