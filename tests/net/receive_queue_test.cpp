// The queue of received blocks, with a real pool and no socket: the test plays the kernel that fills the
// blocks.
#include "sockets.hpp"

using namespace chainring;
using namespace std::literals;

namespace {

struct fixture {
    executor home{
        executor_options{.ring = {}, .buffers = {.block_size = 64, .blocks = 32}}, test::test_kernel()};
    buffer_pool& pool = home.buffers();
    receive_queue queue;
    std::uint16_t next = 0;

    fixture() { pool.set_home_thread(); }
    ~fixture() { queue.discard(pool); }

    void receive(std::string_view text) {
        io_uring_cqe cqe{};
        cqe.flags = IORING_CQE_F_BUFFER | std::uint32_t{next++} << IORING_CQE_BUFFER_SHIFT;
        const std::uint16_t block = pool.taken_by_kernel(cqe);
        std::memcpy(const_cast<std::byte*>(pool.data_of(block)), text.data(), text.size());
        queue.push(pool, block, static_cast<std::uint32_t>(text.size()));
    }
    std::string take() { return std::string(test::must(queue.take(pool)).text()); }
    std::string take_into(std::size_t room) {
        std::string target(room, '?');
        const std::size_t size = test::must(
            queue.take_into(pool, std::as_writable_bytes(std::span(target.data(), target.size()))));
        target.resize(size);
        return target;
    }
    bool all_home() const { return pool.leased() == 0 && pool.provided() + pool.free() == pool.blocks(); }
};

} // namespace

TEST_CASE("blocks_come_out_in_the_order_in_which_they_came_in") {
    fixture given;
    CHECK(given.queue.empty());
    CHECK_FALSE(given.queue.has_news());
    for (const char* text : {"one", "two", "three"}) given.receive(text);
    CHECK(given.queue.has_news());
    CHECK(given.take() == "one");
    given.receive("four");
    CHECK(given.take() == "two");
    CHECK(given.take() == "three");
    CHECK(given.take() == "four");
    CHECK(given.queue.empty());
    CHECK_FALSE(given.queue.has_news());
    CHECK(given.all_home());
}

TEST_CASE("a_lease_keeps_its_block_until_it_dies") {
    fixture given;
    given.receive("text");
    CHECK_FALSE(given.all_home());
    {
        const buffer lease = test::must(given.queue.take(given.pool));
        CHECK(given.pool.leased() == 1);
        CHECK_FALSE(given.all_home());
    }
    CHECK(given.all_home());
}

TEST_CASE("a_block_consumed_in_part_yields_its_rest_next") {
    fixture given;
    given.receive("abcdef");
    given.receive("ghi");
    CHECK(given.take_into(2) == "ab");
    SECTION("as a lease") {
        CHECK(given.take() == "cdef");
        CHECK(given.take() == "ghi");
    }
    SECTION("as a copy") {
        CHECK(given.take_into(1) == "c");
        CHECK(given.take_into(3) == "def");
        CHECK(given.take_into(100) == "ghi");
    }
    SECTION("as a copy across blocks") {
        CHECK(given.take_into(100) == "cdefghi");
    }
    SECTION("as a copy that ends within the second block, then as a lease") {
        CHECK(given.take_into(5) == "cdefg");
        CHECK(given.take() == "hi");
    }
    CHECK(given.queue.empty());
    CHECK(given.all_home());
}

TEST_CASE("the_end_comes_after_all_bytes_and_then_every_time") {
    fixture given;
    given.receive("last");
    given.queue.push_end();
    CHECK(given.queue.ended());
    CHECK(given.take() == "last");
    for (int again = 0; again < 3; ++again) {
        CHECK(given.queue.has_news());
        CHECK(given.take().empty());
        CHECK(given.take_into(10).empty());
    }
}

TEST_CASE("an_error_comes_after_all_bytes_and_then_every_time") {
    fixture given;
    given.receive("ab");
    given.queue.push_error(ECONNRESET);
    CHECK(given.take_into(1) == "a");
    CHECK(given.take() == "b");
    for (int again = 0; again < 3; ++again) {
        CHECK(given.queue.has_news());
        CHECK(test::error_of(given.queue.take(given.pool)) == std::errc::connection_reset);
        CHECK(test::error_of(given.queue.take_into(given.pool, {})) == std::errc::connection_reset);
    }
}

TEST_CASE("a_queue_is_full_at_its_limit_and_takes_what_the_kernel_had_already_filled") {
    fixture given;
    for (unsigned count = 0; count < receive_queue::most_blocks; ++count) {
        CHECK_FALSE(given.queue.full());
        given.receive("x");
    }
    CHECK(given.queue.full());
    given.receive("late");
    for (unsigned count = 0; count < receive_queue::most_blocks; ++count) CHECK(given.take() == "x");
    CHECK_FALSE(given.queue.full());
    CHECK(given.take() == "late");
}

TEST_CASE("what_is_discarded_goes_home") {
    fixture given;
    given.receive("abc");
    given.receive("def");
    CHECK(given.take_into(1) == "a");
    given.queue.discard(given.pool);
    CHECK(given.queue.empty());
    CHECK(given.all_home());
    given.receive("new");
    CHECK(given.take() == "new");
}
