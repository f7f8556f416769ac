// channels: who has subscribed to what, on one executor. A message is one copy for all who hear it.
//
// A subscriber that does not read is behind by what its connection has queued; at the limit it is disconnected, which costs the
// others nothing.
#pragma once

#include "replies.hpp"

#include <chainring/chainring.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace redis {

class channels;

// What one connection has subscribed to; all of it ends with it.
class subscriber {
  public:
    subscriber(channels& within, chainring::stream& client)
        : within_(within)
        , client_(client) {}
    ~subscriber() { unsubscribe_all(); }
    subscriber(const subscriber&) = delete;
    subscriber& operator=(const subscriber&) = delete;

    void subscribe(std::string_view channel);
    void unsubscribe(std::string_view channel);
    const std::set<std::string, std::less<>>& subscribed() const { return subscribed_; }

  private:
    friend class channels;
    void unsubscribe_all();

    channels& within_;
    chainring::stream& client_;
    std::set<std::string, std::less<>> subscribed_;
};

class channels {
  public:
    // How many have subscribed.
    std::size_t publish(std::string_view channel, std::string_view message);
    std::size_t count() const { return listening_.size(); } // channels

  private:
    friend class subscriber;

    std::map<std::string, std::vector<subscriber*>, std::less<>> listening_;
};

} // namespace redis
