// key_hash: the hash of keys, the same for the shards and for the tables within them.
//
// It begins with random numbers of this process: a client that does not know them cannot look for keys of the same hash, which
// would make one long list of a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace redis {

struct key_seeds {
    std::uint64_t first = drawn();
    std::uint64_t second = drawn();

    static std::uint64_t drawn() {
        std::random_device source;
        return (std::uint64_t{source()} << 32U) | source();
    }
};
inline const key_seeds seeds;

struct key_hash {
    std::size_t operator()(std::string_view key) const noexcept {
        std::uint64_t state = seeds.first ^ key.size();
        for (; key.size() > 16; key.remove_prefix(16))
            state = mixed(read<std::uint64_t>(key, 0) ^ state, read<std::uint64_t>(key, 8) ^ seeds.second);
        // The first and the last bytes; those in the middle may be among both.
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
        if (key.size() >= 8) {
            begin = read<std::uint64_t>(key, 0);
            end = read<std::uint64_t>(key, key.size() - 8);
        } else if (key.size() >= 4) {
            begin = read<std::uint32_t>(key, 0);
            end = read<std::uint32_t>(key, key.size() - 4);
        } else {
            for (const char each : key) begin = begin << 8U | static_cast<unsigned char>(each);
        }
        return mixed(begin ^ state, end ^ seeds.second);
    }

  private:
    template <class Word> static std::uint64_t read(std::string_view key, std::size_t at) {
        Word word = 0;
        std::memcpy(&word, key.data() + at, sizeof word);
        return word;
    }
    // Both halves of the product: each bit of it depends on all of both.
    static std::uint64_t mixed(std::uint64_t one, std::uint64_t other) {
        __extension__ using wide = unsigned __int128;
        const wide product = static_cast<wide>(one) * other;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
    }
};

} // namespace redis
