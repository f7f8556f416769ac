// INFO: what the server says about itself, summed over its shards.
#pragma once

#include "replies.hpp"
#include "request_parser.hpp"
#include "shard.hpp"

#include <chainring/chainring.hpp>

namespace redis {

// `given`: INFO, and names of sections; all of them without one.
chainring::task<chainring::result<void>> inform(const shards& all, arguments given, replies& to);

} // namespace redis
