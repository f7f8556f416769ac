#include <chainring/runtime/slots.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

using namespace chainring;

namespace {

struct ignored final : completion {
    void complete(const io_uring_cqe&) noexcept override {}
};

struct fixture {
    ignored target;
    slot_table slots;
    operation_id acquire(int descriptor = -1) {
        return slots.acquire(target, IORING_OP_NOP, descriptor, time_point{});
    }
};

} // namespace

TEST_CASE("an_operation_is_found_under_its_id_until_it_is_released") {
    fixture used;
    const operation_id id = used.acquire(17);
    slot* const found = used.slots.find(id);
    REQUIRE(found != nullptr);
    CHECK(found->target == &used.target);
    CHECK(found->descriptor == 17);
    CHECK(found->opcode == IORING_OP_NOP);
    CHECK(used.slots.find(operation_id(id.user_data())) == found);
    used.slots.release(id, *used.slots.find(id));
    CHECK(used.slots.find(id) == nullptr);
}

TEST_CASE("a_late_id_does_not_find_the_operation_that_took_its_slot_over") {
    fixture used;
    const operation_id late = used.acquire();
    used.slots.release(late, *used.slots.find(late));
    const operation_id current = used.acquire();
    REQUIRE(current.index() == late.index());
    CHECK(current.generation() == late.generation() + 1);
    CHECK(used.slots.find(late) == nullptr);
    CHECK(used.slots.find(current) != nullptr);
}

TEST_CASE("ids_that_name_no_operation_find_nothing") {
    fixture used;
    CHECK(used.slots.find(operation_id()) == nullptr);
    CHECK_FALSE(operation_id());
    (void)used.acquire();
    CHECK(used.slots.find(operation_id()) == nullptr);
    CHECK(used.slots.find(operation_id(5'000'000, 0)) == nullptr);
    CHECK(used.slots.find(operation_id(1, 0)) == nullptr); // exists and is free
}

TEST_CASE("an_id_survives_its_way_through_user_data") {
    for (const std::uint32_t index : {0U, 1U, 0xffffffU}) {
        for (const std::uint32_t generation : {0U, 1U, 0x80000000U, 0xffffffffU}) {
            const operation_id sent(index, generation);
            const operation_id received(sent.user_data());
            CHECK(received.index() == index);
            CHECK(received.generation() == generation);
            CHECK(received);
            CHECK((sent.user_data() & operation_id::cancel_tag) == 0);
        }
    }
}

TEST_CASE("slots_agree_with_a_list_whatever_comes_and_goes") {
    fixture used;
    std::mt19937 random(1);
    std::vector<operation_id> busy;
    std::vector<operation_id> gone;
    for (int step = 0; step < 20'000; ++step) {
        if (busy.empty() || random() % 5 < 3) {
            busy.push_back(used.acquire());
        } else {
            const std::size_t at = random() % busy.size();
            used.slots.release(busy[at], *used.slots.find(busy[at]));
            gone.push_back(busy[at]);
            busy[at] = busy.back();
            busy.pop_back();
        }
    }
    CHECK(used.slots.in_flight() == busy.size());
    CHECK(std::ranges::all_of(busy, [&](operation_id id) { return used.slots.find(id) != nullptr; }));
    CHECK(std::ranges::none_of(gone, [&](operation_id id) { return used.slots.find(id) != nullptr; }));

    std::set<std::uint64_t> expected;
    for (operation_id id : busy) expected.insert(id.user_data());
    std::set<std::uint64_t> listed;
    used.slots.for_each_in_flight([&](operation_id id, const slot& listed_slot) {
        CHECK(listed_slot.target != nullptr);
        listed.insert(id.user_data());
    });
    CHECK(listed == expected);
}
