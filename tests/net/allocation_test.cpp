// What a message costs in steady state: no allocation, and one io_uring_enter a turn. A program of its own,
// because it counts every allocation of the process.
#include "sockets.hpp"

#include <cstdlib>
#include <new>

namespace {

// Of this thread; -1: not counting.
constinit thread_local long allocations = -1;

void count() noexcept {
    if (allocations >= 0) ++allocations;
}

} // namespace

extern "C" {
// NOLINTBEGIN(readability-identifier-naming): glibc's names
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
// NOLINTEND(readability-identifier-naming)

// operator new comes through here too.
void* malloc(std::size_t size) {
    count();
    return __libc_malloc(size);
}
void* calloc(std::size_t members, std::size_t size) {
    count();
    return __libc_calloc(members, size);
}
void* realloc(void* memory, std::size_t size) {
    count();
    return __libc_realloc(memory, size);
}
}

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<> echo(Stream peer) {
    while (auto chunk = co_await peer.receive()) {
        if (chunk->empty()) break;
        const auto sent = co_await peer.send(std::move(*chunk));
        if (!sent) break;
    }
}

// A message there and back, and the next.
template <class Stream> task<> converse(Stream& server, const std::string& text, int rounds, bool& right) {
    for (int round = 0; round < rounds; ++round) {
        const auto sent = co_await server.send(text);
        if (!sent) right = false;
        for (std::size_t missing = text.size(); missing > 0;) {
            const auto chunk = co_await server.receive();
            if (!chunk || chunk->empty()) {
                right = false;
                co_return;
            }
            missing -= chunk->size();
        }
    }
}

struct measured {
    long allocations = 0;
    statistics before;
    statistics after;
};

template <class Over> task<> measure(std::size_t message, int connections, int rounds, measured& result) {
    executor& home = *executor::current();
    std::vector<stream_pair<Over>> pairs;
    for (int connection = 0; connection < connections; ++connection)
        pairs.push_back(co_await connected<Over>());
    const std::string text = random_text(message, 1);
    bool right = true;
    co_await scope([&](task_group& servers) -> task<> {
        for (auto& pair : pairs) servers.spawn(echo(std::move(pair.far)));
        const auto all_converse = [&](int count) -> task<> {
            co_await scope([&](task_group& clients) -> task<> {
                for (auto& pair : pairs) clients.spawn(converse(pair.near, text, count, right));
                co_return;
            });
        };
        co_await all_converse(10); // warm: frames, slots and lists have their size
        result.before = home.stats();
        allocations = 0;
        co_await all_converse(rounds);
        result.allocations = std::exchange(allocations, -1);
        result.after = home.stats();
        for (auto& pair : pairs) must(co_await pair.near.close());
    });
    CHECK(right);
}

} // namespace

TEST_CASE("the_counter_counts") {
    allocations = 0;
    std::free(std::malloc(1));
    auto text = std::make_unique<std::string>(1000, 'x');
    CHECK(text->size() == 1000);
    CHECK(std::exchange(allocations, -1) >= 3);
}

TRANSPORT_TEST_CASE("an_echo_in_steady_state_allocates_nothing_and_enters_once_a_turn") {
    const std::size_t message = GENERATE(64u, 4096u, 200'000u);
    const int connections = GENERATE(1, 64);
    const int rounds = message > 4096 ? 5 : 100;
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        measured result;
        co_await measure<over_any>(message, connections, rounds, result);
        CHECK(result.allocations == 0);
        const statistics& before = result.before;
        const statistics& after = result.after;
        CHECK(after.enters - before.enters == after.turns - before.turns);
        CHECK(
            after.messages_sent - before.messages_sent >=
            2UZ * static_cast<std::size_t>(rounds) * static_cast<std::size_t>(connections));
        CHECK(after.stale_cqes == 0);
        CHECK(after.cq_overflows == 0);
        if (message == 64) {
            // A reply and a request are a send each; the multishot receives stay armed.
            CHECK(
                after.sqes - before.sqes <=
                2UZ * static_cast<std::size_t>(rounds) * static_cast<std::size_t>(connections) + 10);
        }
    });
}

TRANSPORT_TEST_CASE("buffered_messages_in_steady_state_allocate_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        const std::string text(300, 'x');
        const shared_message shared(text);
        std::vector<char> taken(100'000);
        bool right = true; // an assertion copies what the test case has captured
        const auto burst = [&]() -> task<> {
            for (int count = 0; count < 16; ++count) {
                must(co_await pair.stream.write(text)); // copied
                must(co_await pair.stream.write(shared));
            }
            must(co_await pair.stream.flush());
            for (std::size_t missing = 32 * text.size(); missing != 0;) {
                const ssize_t got = ::recv(pair.peer.get(), taken.data(), taken.size(), 0);
                right = right && got > 0;
                if (!right) co_return;
                missing -= static_cast<std::size_t>(got);
            }
        };
        co_await burst(); // warm
        allocations = 0;
        for (int count = 0; count < 100; ++count) co_await burst();
        CHECK(std::exchange(allocations, -1) == 0);
        CHECK(right);
    });
}

TRANSPORT_TEST_CASE("messages_that_lie_in_one_block_are_read_and_sent_without_an_allocation") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        framed link(pair.stream, length_prefixed<std::uint16_t>{1000});
        std::string requests;
        for (int count = 0; count < 16; ++count)
            requests += "\0\100"s + std::string(64, 'x') + "a line\r\n4444";
        bool right = true;
        std::string answers(16UZ * 66, '?');
        const auto exchange = [&]() -> task<> {
            right = right && pair.peer.send(requests);
            for (int count = 0; count < 16; ++count) {
                const auto message = co_await link.receive();
                right = right && message && *message && (*message)->size() == 64;
                const auto sent = co_await link.send(**message);
                right = right && sent;
                const auto line = co_await link.reader().read_line(10);
                right = right && line && line->text() == "a line";
                const auto peeked = co_await link.reader().peek(2);
                right = right && peeked && peeked->text() == "44";
                const auto skipped = co_await link.reader().skip(1);
                right = right && skipped == 1UZ;
                const auto rest = co_await link.reader().read_exactly(3);
                right = right && rest && rest->text() == "444";
            }
            right = right && ::recv(pair.peer.get(), answers.data(), answers.size(), MSG_WAITALL) == 16 * 66;
        };
        co_await exchange(); // warm
        allocations = 0;
        for (int count = 0; count < 100; ++count) co_await exchange();
        CHECK(std::exchange(allocations, -1) == 0);
        CHECK(right);

        // The payload of a large one is not copied, nor what it is made of.
        const std::string large(900, 'y');
        std::string received(902, '?');
        for (int count = 0; count < 2; ++count) {
            allocations = 0;
            const auto sent = co_await link.send(large);
            CHECK(std::exchange(allocations, -1) == 0);
            CHECK(sent.has_value());
            REQUIRE(::recv(pair.peer.get(), received.data(), received.size(), MSG_WAITALL) == 902);
            CHECK(received.substr(2) == large);
        }
    });
}

namespace {

// What is not waited for, and what is received as soon as it was sent.
struct shared_things {
    chainring::mutex lock;
    chainring::shared_mutex readers;
    semaphore permits_of_two{2};
    event happened{true};
    auto_reset_event for_one;
    chainring::latch open{0};
    chainring::barrier of_one{1};
    channel<int> values{4};
    broadcast<int> news{4};
    broadcast_receiver<int> reader = news.subscribe();
    watch<int> current{0};
    watch_receiver<int> changes = current.subscribe();
    rate_limiter limiter{1000, std::chrono::seconds(1), 1'000'000};
};

task<> use_without_waiting(shared_things& all, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        {
            const auto held = co_await all.lock.lock();
        }
        {
            const auto held = co_await all.readers.lock();
        }
        {
            const auto held = co_await all.readers.lock_shared();
        }
        {
            const auto held = co_await all.permits_of_two.acquire(2);
        }
        all.for_one.set();
        (void)co_await all.happened.wait();
        (void)co_await all.for_one.wait();
        (void)co_await all.open.wait();
        (void)co_await all.of_one.arrive_and_wait();
        (void)co_await all.values.send(round);
        (void)co_await all.values.receive();
        (void)all.news.send(round);
        (void)co_await all.reader.receive();
        (void)all.current.set(round);
        (void)co_await all.changes.changed();
        (void)co_await all.limiter.acquire();
    }
}

task<> send_values(channel<int>& to, int count) {
    for (int value = 0; value < count; ++value) (void)co_await to.send(value);
}
task<> receive_values(channel<int>& from, int count) {
    for (int value = 0; value < count; ++value) (void)co_await from.receive();
}

} // namespace

TEST_CASE("what_tasks_share_allocates_nothing_and_enters_the_kernel_for_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        executor& home = *executor::current();
        shared_things all;
        co_await use_without_waiting(all, 1);
        const statistics before = home.stats();
        allocations = 0;
        co_await use_without_waiting(all, 100);
        CHECK(std::exchange(allocations, -1) == 0);
        CHECK(home.stats().enters == before.enters);

        // Nor do tasks that wait for one another.
        channel<int> narrow(1);
        const auto hand_over = [&narrow](int count) -> task<> {
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(send_values(narrow, count));
                group.spawn(receive_values(narrow, count));
                co_return;
            });
        };
        co_await hand_over(1);
        allocations = 0;
        co_await hand_over(100);
        CHECK(std::exchange(allocations, -1) == 0);
    });
}
