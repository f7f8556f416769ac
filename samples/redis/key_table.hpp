// key_table: what keys stand for. A key is found by two looks into memory, one at the place of its hash and one at its entry, where
// key and value lie in one piece. With many keys each look is at memory that no cache holds, and takes longer than all other work on a
// command; std::unordered_map needs about five of them.
//
//     redis::key_table<redis::store::item>::entry* found = keys.find("apples");
//
// An entry stays where it is until it is erased.
#pragma once

#include "key_hash.hpp"

#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace redis {

template <class Value> class key_table {
  public:
    class entry;

    key_table() = default;
    ~key_table() { clear(); }
    key_table(const key_table&) = delete;
    key_table& operator=(const key_table&) = delete;

    std::size_t size() const { return size_; }

    // nullptr: there is none.
    entry* find(std::string_view key) const {
        if (size_ == 0) return nullptr;
        const std::size_t hash = key_hash()(key);
        for (entry* at = places_[place_of(hash)]; at != nullptr; at = at->next_)
            if (at->hash_ == hash && at->key() == key) return at;
        return nullptr;
    }

    // Of a key that has none.
    entry& add(std::string_view key) {
        if (size_ >= places_.size() / 2) grow();
        entry& added = entry::make(key, key_hash()(key));
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
        entry::end(erased);
    }

    // With its memory.
    void clear() {
        for (entry* first : places_)
            while (first != nullptr) entry::end(*std::exchange(first, first->next_));
        std::vector<entry*>().swap(places_);
        size_ = 0;
    }

  private:
    static constexpr std::size_t first_places = 16;

    std::size_t place_of(std::size_t hash) const { return hash & (places_.size() - 1); }

    void put(entry& added) {
        entry*& first = places_[place_of(added.hash_)];
        added.next_ = std::exchange(first, &added);
    }

    // At least twice as many places as entries: few share one.
    void grow() {
        std::vector<entry*> before(places_.empty() ? first_places : 2 * places_.size());
        before.swap(places_);
        for (entry* first : before)
            while (first != nullptr) put(*std::exchange(first, first->next_));
    }

    std::vector<entry*> places_; // a power of two
    std::size_t size_ = 0;
};

template <class Value> class key_table<Value>::entry final : public Value {
  public:
    std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_size_}; }

  private:
    friend class key_table;

    entry(std::string_view key, std::size_t hash)
        : hash_(hash)
        , key_size_(key.size()) {
        if (!key.empty()) std::memcpy(static_cast<void*>(this + 1), key.data(), key.size());
    }
    ~entry() = default;

    static entry& make(std::string_view key, std::size_t hash) {
        void* const memory = ::operator new(sizeof(entry) + key.size());
        return *::new (memory) entry(key, hash);
    }
    static void end(entry& ended) {
        ended.~entry();
        ::operator delete(static_cast<void*>(&ended));
    }

    entry* next_ = nullptr; // at the same place
    std::size_t hash_;
    std::size_t key_size_; // bytes, which follow the entry
};

} // namespace redis
