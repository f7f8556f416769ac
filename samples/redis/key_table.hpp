// key_table: what keys stand for. A key is found by two looks into memory, one at the place of its hash and one at its entry, where
// key and value lie in one piece. With many keys each look is at memory that no cache holds, and takes longer than all other work on a
// command; std::unordered_map needs about five of them. For the same reason both lie in huge pages, and an entry is short.
//
//     redis::key_table<redis::store::item>::entry* found = keys.find("apples");
//
// Who has something else to do until the memory is near asks for it beforehand, one look after the other:
//
//     const auto wanted = keys.prefetch("apples");
//     ...
//     keys.prefetch_entry(wanted);
//     ...
//
// An entry stays where it is until it is erased.
#pragma once

#include "huge_pages.hpp"
#include "key_hash.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace redis {

template <class Value> class key_table {
  public:
    class entry;
    using short_hash = std::uint32_t;

    key_table() = default;
    ~key_table() { clear(); }
    key_table(const key_table&) = delete;
    key_table& operator=(const key_table&) = delete;

    std::size_t size() const { return size_; }

    // nullptr: there is none.
    entry* find(std::string_view key) const {
        if (size_ == 0) return nullptr;
        const short_hash hash = hash_of(key);
        for (entry* at = places_[place_of(hash)]; at != nullptr; at = at->next_)
            if (at->hash_ == hash && at->key() == key) return at;
        return nullptr;
    }

    // Inlined by force: GCC 12 takes them for functions without an effect otherwise, and leaves them out.
    [[gnu::always_inline]] short_hash prefetch(std::string_view key) const {
        const short_hash hash = hash_of(key);
        if (size_ != 0) __builtin_prefetch(static_cast<const void*>(&places_[place_of(hash)]));
        return hash;
    }
    [[gnu::always_inline]] void prefetch_entry(short_hash hash) const {
        if (size_ == 0) return;
        const entry* const first = places_[place_of(hash)];
        if (first == nullptr) return;
        __builtin_prefetch(first);
        __builtin_prefetch(first + 1); // the key: entries lie across lines of the cache
    }

    // Of a key that has none.
    entry& add(std::string_view key) {
        if (size_ >= places_.size() / 2) grow();
        void* const memory = memory_for(key).allocate(entry::bytes(key), alignof(entry));
        entry& added = *::new (memory) entry(key, hash_of(key));
        put(added);
        ++size_;
        return added;
    }

    void erase(entry& erased) {
        entry** at = &places_[place_of(erased.hash_)];
        while (*at != &erased) {
            assert(*at != nullptr);
            at = &(*at)->next_;
        }
        *at = erased.next_;
        --size_;
        end(erased);
    }

    // With its memory.
    void clear() {
        for (entry* first : places_)
            while (first != nullptr) end(*std::exchange(first, first->next_));
        std::pmr::vector<entry*>(places_.get_allocator()).swap(places_);
        size_ = 0;
        pool_.release();
    }

  private:
    static constexpr std::size_t first_places = 16;
    static constexpr std::size_t largest_in_pool = 256; // bytes of an entry

    static short_hash hash_of(std::string_view key) { return static_cast<short_hash>(key_hash()(key)); }
    std::size_t place_of(short_hash hash) const { return hash & (places_.size() - 1); }

    void put(entry& added) {
        entry*& first = places_[place_of(added.hash_)];
        added.next_ = std::exchange(first, &added);
    }

    void end(entry& ended) {
        std::pmr::memory_resource& memory = memory_for(ended.key());
        const std::size_t bytes = entry::bytes(ended.key());
        ended.~entry();
        memory.deallocate(&ended, bytes, alignof(entry));
    }
    // A pool looks through all pieces that are too large for it when one ends.
    std::pmr::memory_resource& memory_for(std::string_view key) {
        if (entry::bytes(key) <= largest_in_pool) return pool_;
        return *std::pmr::new_delete_resource();
    }

    // At least twice as many places as entries: few share one.
    void grow() {
        std::pmr::vector<entry*> before(
            places_.empty() ? first_places : 2 * places_.size(), places_.get_allocator());
        before.swap(places_);
        for (entry* first : before)
            while (first != nullptr) put(*std::exchange(first, first->next_));
    }

    std::pmr::unsynchronized_pool_resource pool_{
        {.max_blocks_per_chunk = std::size_t{1} << 15U, .largest_required_pool_block = largest_in_pool},
        &huge_pages()};
    std::pmr::vector<entry*> places_{&huge_pages()}; // a power of two
    std::size_t size_ = 0;
};

template <class Value> class key_table<Value>::entry final : public Value {
  public:
    std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_size_}; }

  private:
    friend class key_table;

    entry(std::string_view key, short_hash hash)
        : hash_(hash)
        , key_size_(static_cast<std::uint32_t>(key.size())) {
        if (!key.empty()) std::memcpy(static_cast<void*>(this + 1), key.data(), key.size());
    }
    ~entry() = default;

    static std::size_t bytes(std::string_view key) { return sizeof(entry) + key.size(); }

    entry* next_ = nullptr; // at the same place
    short_hash hash_;
    std::uint32_t key_size_; // bytes, which follow the entry
};

} // namespace redis
