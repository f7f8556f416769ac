// shard: what one executor has of the server. Nobody else touches it: who needs a key of another shard calls there (batch.hpp).
#pragma once

#include "channels.hpp"
#include "key_hash.hpp"
#include "store.hpp"

#include <chainring/chainring.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace redis {

struct shard_figures {
    std::size_t connected = 0;   // clients
    std::size_t connections = 0; // since the beginning
    std::size_t commands = 0;
};

struct shard {
    store keys;
    channels listening;
    shard_figures figures;
};

// All of them, in the order of their executors.
class shards {
  public:
    struct place {
        chainring::executor* home = nullptr;
        shard* its = nullptr;
    };
    explicit shards(std::size_t count)
        : places_(count) {}

    void set(std::size_t number, place where) { places_[number] = where; } // before anybody is served
    std::size_t count() const { return places_.size(); }
    const place& at(std::size_t number) const { return places_[number]; }

    std::size_t owner_of(std::string_view key) const {
        if (places_.size() == 1) return 0;
        // Not the whole number's remainder, by which the store divides its keys: each shard would use some of its lists only.
        return (key_hash()(key) >> 32U) % places_.size();
    }

  private:
    std::vector<place> places_;
};

} // namespace redis
