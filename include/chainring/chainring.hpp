// Everything that chainring offers.
#pragma once

#include <chainring/net/datagram.hpp>
#include <chainring/net/resolve.hpp>
#include <chainring/net/seqpacket.hpp>
#include <chainring/net/tcp.hpp>
#include <chainring/net/unix.hpp>
#include <chainring/runtime/async_generator.hpp>
#include <chainring/runtime/cancellation.hpp>
#include <chainring/runtime/capabilities.hpp>
#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/graceful_shutdown.hpp>
#include <chainring/runtime/interval.hpp>
#include <chainring/runtime/log.hpp>
#include <chainring/runtime/named.hpp>
#include <chainring/runtime/offload.hpp>
#include <chainring/runtime/ready.hpp>
#include <chainring/runtime/runtime.hpp>
#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/setup_failure.hpp>
#include <chainring/runtime/signal_set.hpp>
#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/spawn.hpp>
#include <chainring/runtime/try.hpp>
#include <chainring/runtime/uring.hpp>
#include <chainring/runtime/when.hpp>
#include <chainring/runtime/yield.hpp>
