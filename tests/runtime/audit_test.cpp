// What an executor says about itself: the invariants, and what is still held.
#include "../support.hpp"

#include <catch2/matchers/catch_matchers_string.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>
#include <unistd.h>

#include <optional>
#include <sstream>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using Catch::Matchers::ContainsSubstring;

namespace {

// A state in which everything agrees.
struct consistent {
    statistics counted;
    holdings held;
    std::uint32_t blocks = 8;

    consistent() {
        counted.sqes = 10;
        counted.terminal_cqes = 5;
        counted.silent_sqes = 3;
        held.unsubmitted_sqes = 1;
        held.operations = 2;
        held.cancels = 1;
        held.blocks = 8;
        counted.bytes_accepted = 100;
        counted.bytes_sent = 70;
        counted.bytes_failed = 10;
        held.bytes = 20;
        counted.messages_accepted = 4;
        counted.messages_settled = 3;
        held.messages = 1;
        counted.descriptors_opened = 6;
        counted.descriptors_closed = 4;
        held.descriptors = 2;
    }
    std::vector<std::string> broken() const { return broken_invariants(counted, held, blocks); }
};

void expect_one(const consistent& state, const std::string& about) {
    const std::vector<std::string> broken = state.broken();
    REQUIRE(broken.size() == 1);
    CHECK_THAT(broken.front(), ContainsSubstring(about));
}

} // namespace

TEST_CASE("each_invariant_that_does_not_hold_is_named") {
    CHECK(consistent().broken().empty());
    consistent state;
    SECTION("a completion that never came") {
        --state.counted.terminal_cqes;
        expect_one(state, "SQEs");
    }
    SECTION("a block that is nowhere") {
        --state.held.blocks;
        expect_one(state, "buffer pool");
    }
    SECTION("bytes that are nowhere") {
        ++state.counted.bytes_accepted;
        expect_one(state, "101 is not 100");
    }
    SECTION("a message with two results") {
        ++state.counted.messages_settled;
        expect_one(state, "messages");
    }
    SECTION("a completion of nobody's") {
        ++state.counted.stale_cqes;
        expect_one(state, "no longer exist");
    }
    SECTION("a success ahead of the kernel") {
        ++state.counted.early_results;
        expect_one(state, "before the kernel had all");
    }
    SECTION("a coroutine that went on twice") {
        ++state.counted.second_resumptions;
        expect_one(state, "a second time");
    }
    SECTION("a descriptor that nobody holds") {
        --state.held.descriptors;
        expect_one(state, "descriptors");
    }
}

TEST_CASE("what_an_audit_finds_is_counted") {
    executor home({}, test_kernel());
    ++home.counters().descriptors_closed;
    CHECK(home.broken_invariants().size() == 1);
    CHECK(home.stats().broken_invariants == 1);
    --home.counters().descriptors_closed;
    CHECK(home.broken_invariants().empty());
    CHECK(home.stats().broken_invariants == 1);
}

#ifdef NDEBUG // others assert it
TEST_CASE("a_second_resumption_is_counted_and_comes_to_nothing", "[linux]") {
    struct twice final : waiter {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<task_promise<void>> caller) noexcept {
            suspend(caller, std::source_location::current());
        }
        void await_resume() const noexcept {}
        void cancel() noexcept override {}
    };
    std::thread([] { // the count is the thread's
        executor home({}, test_kernel());
        twice outside;
        int resumed = 0;
        home.run([](executor& here, twice& waits, int& count) -> task<> {
            here.ready().push(waits);
            co_await waits;
            ++count;
            here.ready().push(waits);
            co_await yield();
            ++count;
        }(home, outside, resumed));
        CHECK(resumed == 2);
        CHECK(home.stats().second_resumptions == 1);
        CHECK(home.broken_invariants().size() == 1);
    })
        .join();
}
#endif

TEST_CASE("an_operation_in_flight_is_reported_with_its_descriptor_and_its_time", "[linux]") {
    executor home({}, test_kernel());
    home.run([](executor& running) -> task<> {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        char byte = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](int from, char& into) -> task<> {
                (void)co_await uring([&](io_uring_sqe& sqe) { prepare_read(sqe, from, &into, 1); });
            }(ends[0], byte));
            (void)co_await chainring::sleep(std::chrono::milliseconds(1));
            const std::vector<std::string> held = running.holdings_report();
            REQUIRE(held.size() == 3);
            CHECK_THAT(held[0], ContainsSubstring("descriptor " + std::to_string(ends[0])));
            CHECK_THAT(held[0], ContainsSubstring("in flight for"));
            CHECK_THAT(held[1], ContainsSubstring("tasks"));
            CHECK_THAT(
                held[2], ContainsSubstring("audit_test.cpp:") && ContainsSubstring(": read on descriptor"));
            group.cancel();
        });
        ::close(ends[0]);
        ::close(ends[1]);
    }(home));
    check_baseline(home);
}

TEST_CASE("what_is_held_at_shutdown_is_reported_whose_it_is_and_since_when") {
    std::ostringstream text;
    set_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
    {
        std::optional<tcp_listener> listener; // outlives the executor
        std::string at;
        {
            executor home({}, test_kernel());
            home.run([](std::optional<tcp_listener>& kept, std::string& where) -> task<> {
                kept = tcp_listener::bind({"127.0.0.1", 0}).value();
                where = kept->local().value().to_string();
                co_return;
            }(listener, at));
        }
        CHECK_THAT(text.str(), ContainsSubstring("still held at shutdown: socket with descriptor"));
        CHECK_THAT(text.str(), ContainsSubstring("at " + at + ", open for "));
    }
    text.str("");
    {
        executor clean({}, test_kernel());
        clean.run([]() -> task<> { co_return; }());
    }
    CHECK(text.str().empty());
    set_logger(nullptr);
}
