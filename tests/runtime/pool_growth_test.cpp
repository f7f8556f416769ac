// Blocks that are kept lock nobody out: the pool grows, up to a limit, and shrinks again.
#include "runtime/pool_reads.hpp"

#include <random>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

task<> keep(std::vector<buffer>& kept, executor& home, const pipe_ends& from, std::size_t blocks) {
    while (kept.size() < blocks)
        kept.push_back(co_await receive(home, from, "block " + std::to_string(kept.size())));
}

} // namespace

TEST_CASE("a_receiver_that_has_starved_for_long_is_fed_with_one_more_block") {
    executor used(small_pool(2, 5), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        buffer_pool& pool = home.buffers();
        std::vector<buffer> kept;
        co_await keep(kept, home, from, 2);
        for (std::size_t blocks = 3; blocks <= 5; ++blocks) {
            CHECK(pool.provided() == 0);
            hungry receiver;
            pool.starve(receiver);
            co_await receiver.was_fed; // nothing else happens that could help
            CHECK(pool.blocks() == blocks);
            co_await keep(kept, home, from, blocks);
            CHECK(every_block_is_somewhere(pool));
        }
        for (std::size_t block = 0; block < kept.size(); ++block)
            CHECK(kept[block].text() == "block " + std::to_string(block));

        // That was the most there may be. Whoever starves now waits, and costs nothing.
        hungry late;
        pool.starve(late);
        const statistics hungry_since = home.stats();
        for (int nap = 0; nap < 5; ++nap) {
            const auto slept = co_await chainring::sleep(std::chrono::milliseconds(2));
            CHECK(slept.has_value());
        }
        CHECK(late.times_fed == 0);
        CHECK(home.stats().turns - hungry_since.turns <= 20);
        kept.erase(kept.begin());
        co_await late.was_fed;
        CHECK(every_block_is_somewhere(pool));
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("an_idle_executor_does_not_turn_for_nothing_while_its_pool_grows") {
    constexpr std::size_t more = 50;
    executor used(small_pool(2, 2 + more), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        std::vector<buffer> kept;
        co_await keep(kept, home, from, 2);
        const std::uint64_t before = home.stats().turns;
        while (kept.size() < 2 + more) {
            hungry receiver;
            home.buffers().starve(receiver);
            co_await receiver.was_fed;
            co_await keep(kept, home, from, kept.size() + 1);
        }
        CHECK(home.stats().turns - before <= 5 * more);
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("a_receiver_that_blocks_come_home_for_makes_no_pool_grow") {
    executor used(small_pool(1, 5), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        for (int round = 0; round < 100; ++round) {
            hungry receiver;
            {
                const buffer kept = co_await receive(home, from, "kept");
                home.buffers().starve(receiver);
                co_await next_turn{};
            }
            co_await receiver.was_fed;
        }
        CHECK(home.buffers().blocks() == 1);
    }(used, pipe));
}

TEST_CASE("blocks_that_were_added_in_a_shortage_go_when_it_is_over") {
    const std::uint32_t base = GENERATE(1U, 2U, 8U, 300U);
    executor used(small_pool(base, 1000), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from, std::uint32_t blocks) -> task<> {
        buffer_pool& pool = home.buffers();
        for (int storm = 0; storm < 3; ++storm) {
            std::vector<buffer> kept;
            co_await keep(kept, home, from, blocks);
            while (kept.size() < blocks + 100) {
                hungry receiver;
                pool.starve(receiver);
                co_await receiver.was_fed;
                co_await keep(kept, home, from, kept.size() + 1);
            }
            CHECK(pool.blocks() == blocks + 100);
            for (std::size_t block = 0; block < kept.size(); ++block)
                CHECK(kept[block].text() == "block " + std::to_string(block));
            std::mt19937 random(blocks);
            std::shuffle(kept.begin(), kept.end(), random);
            kept.clear();
            CHECK(every_block_is_somewhere(pool));
            // Those that are in the ring leave it when their turn comes.
            for (int round = 0; round < 600; ++round)
                (void)co_await receive(home, from, "round " + std::to_string(round));
            CHECK(pool.blocks() == blocks);
            CHECK(every_block_is_somewhere(pool));
        }
    }(used, pipe, base));
    check_baseline(used);
}
