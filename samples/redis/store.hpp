// store: the keys of one shard and their values, each of which may have a time at which it ends.
#pragma once

#include "key_table.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace redis {

using unix_milliseconds = std::int64_t; // since 1970
unix_milliseconds now_by_the_system();

class store {
  public:
    using text = std::string;
    using list = std::deque<std::string>; // both ends grow, and any place is found at once
    class item;

    explicit store(std::function<unix_milliseconds()> clock = now_by_the_system);

    unix_milliseconds now() const { return clock_(); }

    // What `find` will look at, in two steps (key_table.hpp).
    [[gnu::always_inline]] auto prefetch(std::string_view key) const { return items_.prefetch(key); }
    [[gnu::always_inline]] void prefetch_entry(auto wanted) const { items_.prefetch_entry(wanted); }

    // nullptr: there is none, or its time has come. Valid until a key is removed.
    item* find(std::string_view key);
    // That of the key, or a new one, which is an empty text.
    item& find_or_make(std::string_view key);
    bool erase(std::string_view key);
    void clear();

    void set_end(item& of, unix_milliseconds end);
    void remove_end(item& of);

    // Removes keys whose time has come, at most so many. The value is how many.
    std::size_t remove_ended(std::size_t at_most);

    // With those whose time has come, and that nobody has asked for since.
    std::size_t size() const { return items_.size(); }
    std::size_t with_end() const { return ends_.size(); }

  private:
    using table = key_table<item>;

    static constexpr unix_milliseconds never = -1;
    void erase(item& erased);

    std::function<unix_milliseconds()> clock_;
    table items_;
    std::set<std::pair<unix_milliseconds, item*>> ends_; // of `items_`
};

class store::item {
  public:
    // nullptr: it is of the other type.
    text* as_text() { return std::get_if<text>(&value_); }
    list* as_list() {
        auto* found = std::get_if<std::unique_ptr<list>>(&value_);
        return found != nullptr ? found->get() : nullptr;
    }
    // Whatever it was before.
    void assign(std::string_view bytes);
    list& make_list() { return *value_.emplace<std::unique_ptr<list>>(std::make_unique<list>()); }

    bool has_end() const { return end_ != never; }
    unix_milliseconds end() const { return end_; }

  private:
    friend class store;

    std::variant<text, std::unique_ptr<list>> value_;
    unix_milliseconds end_ = never;
};

} // namespace redis
