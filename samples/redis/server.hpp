// The server: a shard and a listener for each executor.
#pragma once

#include "session.hpp"
#include "shard.hpp"

#include <chainring/chainring.hpp>

#include <functional>

namespace redis {

struct server_options {
    chainring::endpoint listen;
    session_options sessions = {};
    std::function<void(const chainring::endpoint&)> listening = {}; // called once, when clients can connect
    std::function<void()> ended = {}; // called on each executor, when its clients have gone
};

// On all executors of the runtime.
chainring::task<chainring::result<void>> serve_on_each(server_options options);

} // namespace redis
