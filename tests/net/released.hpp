// Streams over adopted descriptors that are released, for the tests of that.
#pragma once

#include "adopted.hpp"

namespace chainring::test {

template <class Over> task<stream_and_peer<Over>> adopted_pair(int send_buffer = 0) {
    auto pair = plain_connection<Over>();
    if (send_buffer != 0) pair.near.set(SOL_SOCKET, SO_SNDBUF, send_buffer);
    if (send_buffer != 0) pair.far.set(SOL_SOCKET, SO_RCVBUF, send_buffer);
    auto stream = adopted<Over>(pair.near);
    co_return stream_and_peer<Over>{std::move(stream), std::move(pair.far)};
}

template <class Stream> task<> release_into(Stream& from, duration limit, result<released_stream>& into) {
    into = co_await from.release(limit);
}

template <class Stream> task<> send_until_released(Stream& to, std::string text, outcome& told) {
    const auto sent = co_await to.send(std::string_view(text));
    told = {.done = true, .error = error_of(sent)};
}

template <class Stream> task<> receive_and_tell(Stream& from, outcome& told) {
    const auto received = co_await from.receive();
    told = {.done = true, .error = error_of(received)};
}

// The next owner of a descriptor and of what came with it.
template <class Over> typename Over::stream adopted_again(released_stream& released) {
    std::vector<byte_span> pieces;
    for (const buffer& each : released.received) pieces.emplace_back(each.bytes());
    auto made = must(Over::stream::adopt(std::move(released.descriptor), pieces));
    released.received.clear();
    return made;
}

} // namespace chainring::test
