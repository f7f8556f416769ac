#include "../../samples/redis/huge_pages.hpp"
#include "../../samples/redis/store.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

// A store whose time stands still until it is told.
struct timed_store {
    redis::unix_milliseconds now = 1'000'000;
    redis::store keys{[this] { return now; }};

    void set(std::string_view key, std::string_view value) { keys.find_or_make(key).assign(value); }
    void set_until(std::string_view key, redis::unix_milliseconds end) {
        set(key, "value");
        keys.set_end(*keys.find(key), end);
    }
};

} // namespace

TEST_CASE("a_key_ends_at_its_time_and_not_before") {
    timed_store store;
    store.set_until("key", store.now + 10);
    store.now += 9;
    CHECK(store.keys.find("key") != nullptr);
    store.now += 1;
    CHECK(store.keys.size() == 1); // nobody has asked
    CHECK(store.keys.find("key") == nullptr);
    CHECK(store.keys.size() == 0);
    CHECK(store.keys.with_end() == 0);
}

TEST_CASE("a_key_that_has_ended_is_made_anew_without_an_end") {
    timed_store store;
    store.set_until("key", store.now + 10);
    store.now += 10;
    redis::store::item& made = store.keys.find_or_make("key");
    CHECK(*made.as_text() == "");
    CHECK(!made.has_end());
    CHECK(store.keys.remove_ended(10) == 0);
}

TEST_CASE("the_last_end_of_a_key_counts") {
    timed_store store;
    store.set_until("later", store.now + 10);
    store.keys.set_end(*store.keys.find("later"), store.now + 20);
    store.set_until("never", store.now + 10);
    store.keys.remove_end(*store.keys.find("never"));
    CHECK(store.keys.with_end() == 1);
    store.now += 10;
    CHECK(store.keys.remove_ended(10) == 0);
    store.now += 10;
    CHECK(store.keys.remove_ended(10) == 1);
    CHECK(store.keys.find("later") == nullptr);
    CHECK(store.keys.find("never") != nullptr);
}

TEST_CASE("keys_that_nobody_asks_for_are_removed_in_the_order_of_their_ends_so_many_at_a_time") {
    timed_store store;
    for (int number = 0; number < 10; ++number)
        store.set_until("key " + std::to_string(number), store.now + 10 - number);
    store.set("stays", "");
    store.now += 10;
    CHECK(store.keys.remove_ended(4) == 4);
    CHECK(store.keys.size() == 7);
    CHECK(store.keys.with_end() == 6);
    store.now -= 10; // to see which ones are left
    CHECK(store.keys.find("key 9") == nullptr);
    CHECK(store.keys.find("key 5") != nullptr);
    store.now += 10;
    CHECK(store.keys.remove_ended(100) == 6);
    CHECK(store.keys.find("stays") != nullptr);
}

TEST_CASE("two_keys_may_end_at_the_same_time") {
    timed_store store;
    store.set_until("one", store.now + 1);
    store.set_until("other", store.now + 1);
    CHECK(store.keys.erase("one"));
    CHECK_FALSE(store.keys.erase("one"));
    CHECK(store.keys.with_end() == 1);
    store.now += 1;
    CHECK_FALSE(store.keys.erase("other")); // it has ended
    CHECK(store.keys.size() == 0);
}

TEST_CASE("a_store_that_was_cleared_knows_no_ends_of_its_old_keys") {
    timed_store store;
    store.set_until("key", store.now + 1);
    store.keys.clear();
    store.set("key", "new");
    store.now += 1;
    CHECK(store.keys.remove_ended(10) == 0);
    CHECK(*store.keys.find("key")->as_text() == "new");
}

TEST_CASE("a_value_is_of_the_last_type_that_it_was_given") {
    timed_store store;
    redis::store::item& item = store.keys.find_or_make("key");
    item.make_list().emplace_back("first");
    CHECK(item.as_text() == nullptr);
    CHECK(item.as_list()->size() == 1);
    item.assign("text");
    CHECK(item.as_list() == nullptr);
    CHECK(*item.as_text() == "text");
}

TEST_CASE("a_long_value_does_not_keep_its_memory_when_a_short_one_takes_its_place") {
    timed_store store;
    store.set("key", std::string(1 << 20, 'x'));
    store.set("key", "short");
    CHECK(store.keys.find("key")->as_text()->capacity() < 1024);
}

TEST_CASE("keys_of_every_length_are_told_apart") {
    timed_store store;
    std::string key;
    constexpr int lengths = 400; // the last ones are too long for the pool of the others
    for (int length = 0; length < lengths; ++length) {
        store.set(key, std::to_string(length));
        key += length % 2 == 0 ? '\0' : 'x';
    }
    CHECK(store.keys.size() == lengths);
    key.clear();
    bool found = true;
    for (int length = 0; length < lengths; ++length) {
        redis::store::item* const item = store.keys.find(key);
        found = found && item != nullptr && *item->as_text() == std::to_string(length);
        key += length % 2 == 0 ? '\0' : 'x';
    }
    CHECK(found);
}

TEST_CASE("a_key_is_found_however_many_came_and_went_and_its_item_stays_where_it_is") {
    timed_store store;
    constexpr int keys = 3000; // the table grows several times
    const redis::store::item* const first = &store.keys.find_or_make("key 0");
    for (int number = 0; number < keys; ++number)
        store.set("key " + std::to_string(number), std::to_string(number));
    CHECK(store.keys.find("key 0") == first);
    for (int number = 1; number < keys; number += 2) store.keys.erase("key " + std::to_string(number));
    CHECK(store.keys.size() == keys / 2);
    int wrong = 0;
    for (int number = 0; number < keys; ++number) {
        redis::store::item* const found = store.keys.find("key " + std::to_string(number));
        const bool right = number % 2 == 0 ? found != nullptr && *found->as_text() == std::to_string(number)
                                           : found == nullptr;
        wrong += right ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("asking_for_a_key_beforehand_changes_nothing") {
    timed_store store;
    store.keys.prefetch_entry(store.keys.prefetch("key")); // there is no table yet
    store.set("key", "value");
    const auto wanted = store.keys.prefetch("key");
    store.keys.prefetch_entry(wanted);
    store.keys.prefetch_entry(store.keys.prefetch("another"));
    CHECK(store.keys.size() == 1);
    CHECK(*store.keys.find("key")->as_text() == "value");
    store.keys.clear();
    store.keys.prefetch_entry(wanted); // of a table that has gone meanwhile
    CHECK(store.keys.size() == 0);
}

TEST_CASE("memory_of_more_than_half_a_huge_page_begins_at_one") {
    constexpr std::size_t huge_page = std::size_t{2} << 20U;
    for (const std::size_t size : {huge_page / 2, huge_page, huge_page + 1}) {
        void* const memory = redis::huge_pages().allocate(size);
        CHECK(reinterpret_cast<std::uintptr_t>(memory) % huge_page == 0);
        std::memset(memory, 1, size);
        redis::huge_pages().deallocate(memory, size);
    }
}
