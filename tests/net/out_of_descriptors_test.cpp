// Accepting when descriptors have run out: the listener waits, does not spin, and loses no connection.
#include "../runtime/forwarding_kernel.hpp"
#include "sockets.hpp"

#include <sys/resource.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// Linux, out of descriptors whenever `exhausted`. The process's own limit is lowered around `enter` only,
// where accept takes its descriptor: sanitizers need some in between.
class short_of_descriptors final : public forwarding_kernel {
  public:
    bool exhausted = false;

    int enter(
        io_uring& ring, unsigned to_submit, unsigned wait_for, const __kernel_timespec* timeout,
        unsigned flags) noexcept override {
        if (!exhausted) return forwarding_kernel::enter(ring, to_submit, wait_for, timeout, flags);
        rlimit before{};
        ::getrlimit(RLIMIT_NOFILE, &before);
        // Descriptors are given out lowest first: below the first free one there is no room.
        const int first_free = ::dup(0);
        ::close(first_free);
        const rlimit lowered{.rlim_cur = static_cast<rlim_t>(first_free), .rlim_max = before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &lowered);
        const int returned = forwarding_kernel::enter(ring, to_submit, wait_for, timeout, flags);
        ::setrlimit(RLIMIT_NOFILE, &before);
        return returned;
    }
};

struct accepted_outcome {
    bool done = false;
    std::error_code error;
};

template <class Listener> task<> accept_one(Listener& from, accepted_outcome& outcome) {
    auto accepted = co_await from.accept();
    outcome.error = error_of(accepted);
    outcome.done = true;
}

} // namespace

TEMPLATE_TEST_CASE("out_of_descriptors_a_listener_waits_and_loses_no_connection", "", EACH_TRANSPORT) {
    const std::size_t before = open_descriptors();
    {
        short_of_descriptors behind;
        executor home(options_for(GENERATE(both_modes())), behind);
        constexpr int clients = 5;
        home.run([](executor& running, short_of_descriptors& limit) -> task<> {
            auto listener = must(TestType::listener::bind(TestType::somewhere()));
            std::vector<plain_socket> waiting;
            for (int client = 0; client < clients; ++client) {
                waiting.push_back(plain_socket::connected_to(must(listener.local())));
                CHECK(waiting.back().send(std::to_string(client)));
            }
            int served = 0;
            const auto serve = [&]() -> task<> {
                for (; served < clients; ++served) {
                    auto peer = must(co_await listener.accept());
                    co_await expect(peer, std::to_string(served));
                }
            };
            co_await scope([&](task_group& group) -> task<> {
                limit.exhausted = true;
                const statistics begun = running.stats();
                group.spawn(serve());
                // The pauses double from 5 ms on, so by the fifth attempt 75 ms have gone by.
                while (running.stats().accepts_deferred < begun.accepts_deferred + 5)
                    must(co_await chainring::sleep(1ms));
                const statistics now = running.stats();
                CHECK(served == 0);
                // Each turn was one of the test's own sleeps or one attempt: nothing spins.
                CHECK(now.cqes - begun.cqes < 10);
                CHECK(now.sqes - begun.sqes < 10);
                limit.exhausted = false;
            });
            CHECK(served == clients);
            CHECK(listener.is_open());
            waiting.push_back(plain_socket::connected_to(must(listener.local())));
            must(co_await listener.accept());
        }(home, behind));
        check_baseline(home);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("an_accept_that_waits_for_descriptors_can_be_cancelled_and_its_listener_closed") {
    short_of_descriptors behind;
    executor home(options_for(GENERATE(both_modes())), behind);
    home.run([](executor& running, short_of_descriptors& limit) -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        accepted_outcome cancelled;
        accepted_outcome closed;
        limit.exhausted = true;
        const auto deferred = running.stats().accepts_deferred;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, cancelled));
            co_await until([&] { return running.stats().accepts_deferred != deferred; });
            group.cancel();
        });
        CHECK(cancelled.error == errc::cancelled);
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, closed));
            co_await one_turn();
            must(co_await listener.close());
        });
        CHECK(closed.error == errc::closed);
    }(home, behind));
    check_baseline(home);
}
