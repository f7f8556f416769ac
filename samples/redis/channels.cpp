#include "channels.hpp"

#include <algorithm>

namespace redis {

void subscriber::subscribe(std::string_view channel) {
    if (!subscribed_.emplace(channel).second) return;
    auto found = within_.listening_.find(channel);
    if (found == within_.listening_.end()) found = within_.listening_.try_emplace(std::string(channel)).first;
    found->second.push_back(this);
}

void subscriber::unsubscribe(std::string_view channel) {
    const auto own = subscribed_.find(channel);
    if (own == subscribed_.end()) return;
    const auto found = within_.listening_.find(channel);
    std::erase(found->second, this);
    if (found->second.empty()) within_.listening_.erase(found);
    subscribed_.erase(own);
}

void subscriber::unsubscribe_all() {
    while (!subscribed_.empty()) unsubscribe(std::string(*subscribed_.begin()));
}

std::size_t channels::publish(std::string_view channel, std::string_view message) {
    const auto found = listening_.find(channel);
    if (found == listening_.end()) return 0;
    replies text;
    text.array(3);
    text.bulk("message");
    text.bulk(channel);
    text.bulk(message);
    const chainring::shared_message shared(text.take());
    for (subscriber* const each : found->second) {
        const auto written = each->client_.try_write(shared);
        // Its own receive ends then, and takes it out.
        if (!written && written.error() == chainring::errc::queue_full) each->client_.abort();
    }
    return found->second.size();
}

} // namespace redis
