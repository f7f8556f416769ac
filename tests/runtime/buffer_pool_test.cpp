#include "runtime/pool_reads.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;

TEST_CASE("a_lease_holds_what_was_received_and_its_block_goes_home") {
    executor used(small_pool(8), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        CHECK(pool.leased() == 0);
        CHECK(every_block_is_somewhere(pool));
        {
            buffer held = co_await receive(home, from, "received bytes");
            CHECK(held.size() == 14);
            CHECK_FALSE(held.empty());
            CHECK(pool.leased() == 1);
            CHECK(home.stats().buffers_leased == 1);
            CHECK(every_block_is_somewhere(pool));
        }
        CHECK(pool.leased() == 0);
        CHECK(every_block_is_somewhere(pool));
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("a_lease_can_be_moved_narrowed_and_dropped_early") {
    executor used(small_pool(4), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        buffer first = co_await receive(home, from, "head and tail");
        buffer second = co_await receive(home, from, "another");
        CHECK(pool.leased() == 2);

        first.remove_prefix(5);
        CHECK(first.text() == "and tail");
        first.truncate(3);
        CHECK(first.text() == "and");
        CHECK(first.bytes().size() == 3);

        buffer moved(std::move(first));
        CHECK(moved.text() == "and");
        CHECK(first.empty());
        CHECK(pool.leased() == 2);

        moved = std::move(second); // its own block goes home
        CHECK(moved.text() == "another");
        CHECK(pool.leased() == 1);

        buffer& same = moved;
        moved = std::move(same);
        CHECK(moved.text() == "another");

        moved = buffer();
        CHECK(pool.leased() == 0);
        CHECK(moved.empty());
        CHECK(moved.text().empty());
        CHECK(every_block_is_somewhere(pool));
    }(used, pipe));
}

TEST_CASE("an_exhausted_pool_is_reported_and_serves_again_when_a_lease_ends") {
    executor used(small_pool(GENERATE(1U, 3U, 4U)), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        std::vector<buffer> held;
        for (std::uint32_t i = 0; i < pool.blocks(); ++i)
            held.push_back(co_await receive(home, from, "block " + std::to_string(i)));
        CHECK(pool.provided() == 0);
        CHECK(pool.leased() == pool.blocks());

        from.write("waits in the pipe");
        result<buffer> refused = co_await pool_read(home, from.reading());
        CHECK(refused.error() == std::errc::no_buffer_space);
        for (std::uint32_t i = 0; i < pool.blocks(); ++i)
            CHECK(held[i].text() == "block " + std::to_string(i));

        held.pop_back();
        CHECK(pool.provided() != 0);
        result<buffer> served = co_await pool_read(home, from.reading());
        REQUIRE(served.has_value());
        CHECK(served->text() == "waits in the pipe");
        CHECK(every_block_is_somewhere(pool));
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("a_starving_receiver_is_told_when_blocks_have_come_home") {
    executor used(small_pool(2), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        std::vector<buffer> held;
        held.push_back(co_await receive(home, from, "one"));
        held.push_back(co_await receive(home, from, "two"));
        hungry first;
        hungry second;
        hungry third;
        pool.starve(first);
        pool.starve(second);
        pool.starve(third);
        for (int i = 0; i < 3; ++i) co_await next_turn{};
        CHECK(first.times_fed == 0);

        held.pop_back(); // one block: one receiver is told
        for (int i = 0; i < 3 && first.times_fed == 0; ++i) co_await next_turn{};
        CHECK(first.times_fed == 1);
    }(used, pipe));
}

TEST_CASE("a_starving_receiver_is_told_when_a_lease_ends_on_another_thread", "[linux]") {
    executor used(small_pool(1), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        hungry receiver;
        buffer held = co_await receive(home, from, "the only block");
        home.buffers().starve(receiver);
        std::thread elsewhere([lease = std::move(held)]() mutable { lease = buffer(); });
        co_await receiver.was_fed; // sleeps until the other thread wakes it
        elsewhere.join();
        CHECK(home.buffers().provided() != 0);
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("leases_come_home_from_other_threads", "[linux]") {
    executor used(small_pool(64), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        for (int round = 0; round < 20; ++round) {
            std::vector<std::vector<buffer>> portions(4);
            for (int i = 0; i < 64; ++i)
                portions[static_cast<std::size_t>(i) % 4].push_back(
                    co_await receive(home, from, std::to_string(i)));
            CHECK(pool.leased() == 64);
            std::vector<std::thread> threads;
            for (auto& portion : portions)
                threads.emplace_back([own = std::move(portion)]() mutable { own.clear(); });
            for (std::thread& thread : threads) thread.join();
            co_await next_turn{};
            CHECK(pool.leased() == 0);
            CHECK(every_block_is_somewhere(pool));
        }
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("a_lease_may_outlive_its_executor", "[linux]") {
    pipe_ends pipe;
    std::vector<buffer> held;
    const bool elsewhere = GENERATE(false, true);
    {
        executor used(small_pool(4), test_kernel());
        used.run([](executor& home, pipe_ends& from, std::vector<buffer>& out) -> task<> {
            out.push_back(co_await receive(home, from, "first"));
            out.push_back(co_await receive(home, from, "second"));
        }(used, pipe, held));
        CHECK(used.stats().buffers_leased == 2);
    }
    CHECK(held[0].text() == "first");
    CHECK(held[1].text() == "second");
    if (elsewhere)
        std::thread([&] { held.clear(); }).join();
    else
        held.clear();
}

TEST_CASE("leases_may_end_on_other_threads_while_the_executor_ends", "[linux]") {
    for (int round = 0; round < 50; ++round) {
        pipe_ends pipe;
        std::vector<buffer> held;
        std::atomic<bool> go = false;
        auto used = std::make_unique<executor>(small_pool(16));
        used->run([](executor& home, pipe_ends& from, std::vector<buffer>& out) -> task<> {
            for (int i = 0; i < 16; ++i) out.push_back(co_await receive(home, from, "lease"));
        }(*used, pipe, held));
        std::thread elsewhere([&] {
            go.store(true);
            go.notify_one();
            held.clear();
        });
        go.wait(false);
        used.reset();
        elsewhere.join();
    }
    SUCCEED("the sanitizers have nothing to say");
}

TEST_CASE("a_lease_of_one_executor_ends_in_the_run_of_another_on_the_same_thread") {
    executor first(small_pool(2), test_kernel());
    executor second(small_pool(2), test_kernel());
    pipe_ends pipe;
    buffer held = first.run(receive(first, pipe, "from the first"));
    second.run([](buffer given) -> task<> {
        CHECK(given.text() == "from the first");
        co_return;
    }(std::move(held)));
    CHECK(second.buffers().leased() == 0);
    first.run([]() -> task<> { co_await next_turn{}; }());
    CHECK(first.buffers().leased() == 0);
    CHECK(every_block_is_somewhere(first.buffers()));
    CHECK(every_block_is_somewhere(second.buffers()));
}

TEST_CASE("no_block_is_lost_or_leased_twice_whatever_is_received_and_dropped") {
    const std::uint32_t blocks = GENERATE(1U, 7U, 256U, 300U, 1000U);
    executor used(small_pool(blocks), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        std::mt19937 random(pool.blocks());
        struct received {
            buffer lease;
            std::string text;
        };
        std::vector<received> held;
        bool balanced = true;
        bool intact = true;
        for (int step = 0; step < 3000; ++step) {
            if (held.size() < pool.blocks() && random() % 8 < 5) {
                std::string text = "text " + std::to_string(step);
                buffer lease = co_await receive(home, from, text);
                held.push_back({std::move(lease), std::move(text)});
            } else if (!held.empty()) {
                const std::size_t at = random() % held.size();
                intact = intact && held[at].lease.text() == held[at].text;
                std::swap(held[at], held.back());
                held.pop_back();
            }
            balanced = balanced && pool.leased() == held.size() && every_block_is_somewhere(pool);
        }
        for (const received& each : held) intact = intact && each.lease.text() == each.text;
        CHECK(balanced);
        CHECK(intact);
    }(used, pipe));
    check_baseline(used);
}
