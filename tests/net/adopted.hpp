// Descriptors that somebody else has made, for the tests of what is adopted and released.
#pragma once

#include "datagrams.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace chainring::test {

struct plain_pair {
    plain_socket near;
    plain_socket far;
};

template <class Over> plain_pair plain_connection() {
    const int type = Over::stream::kind.type;
    const plain_socket listener = plain_socket::listening(Over::somewhere(), 1, type);
    plain_socket far = plain_socket::connected_to(listener.local(), 0, type);
    return {plain_socket(calls::accept(listener.get())), std::move(far)};
}

// Each is the other's peer.
template <class Over> plain_pair plain_datagrams() {
    plain_socket near = plain_socket::bound(Over::somewhere(), SOCK_DGRAM);
    plain_socket far = plain_socket::bound(Over::somewhere(), SOCK_DGRAM);
    calls::must(calls::connect(near.get(), far.local()), "connect");
    calls::must(calls::connect(far.get(), near.local()), "connect");
    return {std::move(near), std::move(far)};
}

// The descriptor is the stream's.
template <class Over> typename Over::stream adopted(plain_socket& from, byte_spans received = {}) {
    auto made = must(Over::stream::adopt(from.get(), received));
    (void)from.take();
    return made;
}

inline byte_span bytes_of_text(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::vector<std::string> texts_of(const std::vector<buffer>& received) {
    std::vector<std::string> all;
    for (const buffer& each : received) all.emplace_back(each.text());
    return all;
}
inline std::vector<std::string> texts_of(const std::vector<std::vector<std::byte>>& messages) {
    std::vector<std::string> all;
    for (const auto& each : messages)
        all.emplace_back(reinterpret_cast<const char*>(each.data()), each.size());
    return all;
}
inline std::string concatenated(const std::vector<std::string>& parts) {
    std::string all;
    for (const std::string& each : parts) all += each;
    return all;
}

} // namespace chainring::test
