#include "net/embed/hosts.hpp"
#include "runtime/steps.hpp"

#include <chainring/sync/event.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

const auto ignore_the_end = [](const ended_task<void>&) {};

task<> count_bytes(int descriptor, unsigned& count) {
    for (;;) {
        char bytes[16];
        const auto got = co_await read_into(descriptor, bytes);
        if (!got || *got <= 0) co_return;
        count += static_cast<unsigned>(*got);
    }
}

task<> sleep_for(duration time) {
    (void)co_await sleep(time);
}

task<> hear_a_thread(executor& home) {
    event heard;
    const std::jthread posting([&] { home.post([&] { heard.set(); }); });
    (void)co_await heard.wait();
}

// Posts as often as it is asked to, from a thread of its own.
class other_thread {
  public:
    explicit other_thread(executor& home)
        : home_(home)
        , thread_([this] { serve(); }) {}
    ~other_thread() {
        stop_ = true;
        ask();
        thread_.join();
    }
    other_thread(const other_thread&) = delete;
    other_thread& operator=(const other_thread&) = delete;

    void ask() {
        ++asked_;
        asked_.notify_one();
    }
    bool has_posted_all() const { return posted_ == asked_; }

  private:
    void serve() {
        for (unsigned seen = 0;;) {
            asked_.wait(seen);
            if (stop_) return; // what it was asked for last is to wake it only
            for (const unsigned now = asked_; seen != now; ++seen) home_.post([this] { ++posted_; });
        }
    }

    executor& home_;
    std::atomic<unsigned> asked_ = 0;
    unsigned posted_ = 0; // on the executor's thread
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

} // namespace

TEMPLATE_TEST_CASE("a_task_within_the_loop_runs_to_its_end", "[linux]", EVERY_HOST) {
    executor home(options_for(GENERATE(both_modes())));
    TestType host(home);
    int value = 0;
    spawn(
        home,
        []() -> task<int> {
            (void)co_await sleep(5ms);
            (void)co_await no_operation();
            co_return 42;
        }(),
        [&](ended_task<int> end) { value = end.value(); });
    host.run_until([&] { return value != 0; });
    CHECK(value == 42);
    check_baseline(home);
}

TEMPLATE_TEST_CASE("a_hundred_thousand_wake_ups_of_every_kind_and_none_is_lost", "[linux]", EVERY_HOST) {
    constexpr unsigned wake_ups = optimized ? 100'000 : 10'000;
    executor home(options_for(GENERATE(both_modes())));
    TestType host(home);
    other_thread poster(home);
    const pipe_ends pipe;
    unsigned received = 0;
    spawn(home, count_bytes(pipe.reading(), received), ignore_the_end);
    std::mt19937 random(1);
    unsigned sent = 0, to_sleep = 0, slept = 0, posts = 0, posted = 0, events = 0, happened = 0;
    for (unsigned count = 0; count < wake_ups;) {
        for (unsigned burst = random() % 3 + 1; burst != 0; --burst, ++count) {
            switch (random() % 5) {
            case 0:
                pipe.write("x");
                ++sent;
                break;
            case 1: poster.ask(); break;
            case 2:
                // A tick of the wheel, and a millisecond of a loop's timer, are far longer than a round.
                if (random() % 100 != 0) continue;
                ++to_sleep;
                spawn(home, sleep_for(1us), [&](const ended_task<void>&) { ++slept; });
                break;
            case 3:
                ++posts;
                home.post([&] { ++posted; });
                break;
            default:
                // From a callback of the loop.
                ++events;
                host.call_soon([&] { home.post([&] { ++happened; }); });
            }
        }
        host.run_until([&] {
            return received == sent && slept == to_sleep && posted == posts && happened == events &&
                   poster.has_posted_all();
        });
    }
    CHECK(home.stats().pumps > 0);
}

TEMPLATE_TEST_CASE("a_loop_at_rest_does_not_turn_the_executor", "[linux]", EVERY_HOST) {
    executor home(options_for(GENERATE(both_modes())));
    TestType host(home);
    const pipe_ends pipe;
    unsigned count = 0;
    spawn(home, count_bytes(pipe.reading(), count), ignore_the_end);
    spawn(home, sleep_for(24h), ignore_the_end);
    pipe.write("x");
    host.run_until([&] { return count == 1; });
    for (int i = 0; i < 10; ++i) host.look_around();
    const std::uint64_t turns = home.stats().turns;
    for (int i = 0; i < 1000; ++i) host.look_around();
    CHECK(home.stats().turns == turns);
    pipe.write("x");
    host.run_until([&] { return count == 2; });
}

TEMPLATE_TEST_CASE("a_nearer_deadline_takes_the_place_of_a_farther_one", "[linux]", EVERY_HOST) {
    executor home;
    TestType host(home);
    int ended = 0;
    const auto count_ends = [&](const ended_task<void>&) { ++ended; };
    spawn(home, sleep_for(24h), ignore_the_end);
    for (int i = 0; i < 10; ++i) host.look_around();
    spawn(home, sleep_for(20ms), count_ends);
    for (int i = 0; i < 10; ++i) host.look_around();
    spawn(home, sleep_for(1ms), count_ends);
    host.run_until([&] { return ended == 2; });
}

TEMPLATE_TEST_CASE("what_runs_may_stop_the_embedding_and_another_loop_takes_over", "[linux]", EVERY_HOST) {
    executor home;
    TestType first(home);
    bool stopped = false;
    int turns = 0;
    spawn(
        home,
        [](TestType& host, bool& told, int& count) -> task<> {
            host.embedded().stop();
            told = true;
            for (; count < 100; ++count) co_await next_turn();
        }(first, stopped, turns),
        ignore_the_end);
    first.run_until([&] { return stopped; });
    CHECK(first.embedded().stopped());
    for (int i = 0; i < 10; ++i) first.look_around();
    CHECK(turns < 100);

    TestType second(home);
    second.run_until([&] { return turns == 100; });
    first.embedded().stop(); // again
    const pipe_ends pipe;
    unsigned count = 0;
    spawn(home, count_bytes(pipe.reading(), count), ignore_the_end);
    pipe.write("x");
    second.run_until([&] { return count == 1; });
}

TEMPLATE_TEST_CASE("a_loop_that_waits_for_its_task_ends_at_the_hard_deadline", "[linux]", EVERY_HOST) {
    executor home(options_for(GENERATE(both_modes())));
    TestType host(home);
    graceful_shutdown shutdown(home, {.soft = {}, .hard = 1ms});
    bool told = false;
    spawn(
        home, []() -> task<> { (void)co_await shield(sleep(24h)); }(),
        [&](const ended_task<void>& end) {
            CHECK_THROWS_AS(std::rethrow_exception(end.error()), shutdown_overdue);
            told = true;
            host.embedded().stop();
        });
    home.post([&] { shutdown.begin(); });
    host.run_until([&] { return told; });
    CHECK(host.embedded().stopped());
    check_baseline(home);
}

TEMPLATE_TEST_CASE("executor_embedding_and_loop_end_in_any_order", "[linux]", EVERY_HOST) {
    enum class order { executor_first, embedding_first, loop_first };
    const order ends = GENERATE(order::executor_first, order::embedding_first, order::loop_first);
    if (ends == order::loop_first && !TestType::may_end_first) return;
    const std::size_t descriptors = open_descriptors();
    {
        const pipe_ends pipe;
        unsigned count = 0;
        auto home = std::make_unique<executor>();
        auto host = std::make_unique<TestType>(*home);
        spawn(*home, count_bytes(pipe.reading(), count), ignore_the_end);
        spawn(*home, sleep_for(24h), ignore_the_end);
        pipe.write("x");
        host->run_until([&] { return count == 1; });
        home->post([] {}); // the loop is about to be woken
        switch (ends) {
        case order::executor_first:
            home.reset();
            CHECK(host->embedded().stopped());
            for (int i = 0; i < 10; ++i) host->look_around();
            host.reset();
            break;
        case order::embedding_first:
            host->leave();
            for (int i = 0; i < 10; ++i) host->look_around();
            host->end();
            home.reset();
            break;
        case order::loop_first:
            host->end();
            host.reset();
            home.reset();
        }
    }
    CHECK(open_descriptors() == descriptors);
}

TEMPLATE_TEST_CASE("a_second_loop_around_the_same_executor_is_refused", "[linux]", EVERY_HOST) {
    executor home;
    TestType host(home);
    CHECK_THROWS_AS(TestType(home), std::logic_error);
    bool ran = false;
    home.post([&] { ran = true; });
    host.run_until([&] { return ran; });
}

TEMPLATE_TEST_CASE("a_loop_on_another_thread_than_the_executors_is_refused", "[linux]", EVERY_HOST) {
    executor home;
    (void)home.pump();
    std::string said;
    std::thread([&] {
        try {
            TestType host(home);
        } catch (const std::logic_error& refused) {
            said = refused.what();
        }
    }).join();
    CHECK(said.find("on another thread than the executor's") != std::string::npos);
}

TEMPLATE_TEST_CASE("an_executor_that_a_loop_has_watched_is_woken_in_its_own_run", "[linux]", EVERY_HOST) {
    executor home;
    {
        TestType host(home);
        for (int i = 0; i < 10; ++i) host.look_around();
        home.run(hear_a_thread(home));
    }
    home.run(hear_a_thread(home));
}

TEST_CASE("an_epoll_loop_that_moves_to_another_thread_is_told_so", "[linux]") {
    executor home;
    epoll_host host(home);
    std::thread([&] { CHECK_THROWS_AS(host.look_around(), std::logic_error); }).join();
}

TEST_CASE("an_epoll_descriptor_that_is_none_is_refused", "[linux]") {
    executor home;
    CHECK_THROWS_AS(epoll_embedding(home, -1), std::system_error);
    epoll_host host(home); // nothing of it is left
}

#ifdef WITH_ASIO
TEST_CASE("an_asio_context_that_another_thread_runs_throws_there", "[linux]") {
    executor home;
    asio_host host(home);
    std::thread([&] { CHECK_THROWS_AS(host.loop().run(), std::logic_error); }).join();
}

TEST_CASE("an_asio_context_has_work_until_the_embedding_stops", "[linux]") {
    executor home;
    asio_host host(home);
    int ends = 0;
    spawn(home, sleep_for(1ms), [&](const ended_task<void>&) {
        ++ends;
        home.post([&] { host.embedded().stop(); });
    });
    host.loop().run();
    CHECK(ends == 1);
    CHECK(host.embedded().stopped());
}
#endif
