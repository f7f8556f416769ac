// Unix stream sockets, by path or abstract name: unix_stream and unix_listener. A listener removes its path
// when it closes; the path of a program that was killed stays, and until it is removed bind answers that the
// address is in use. An abstract name has no such rest.
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/net/connect.hpp>
#include <chainring/net/listener.hpp>
#include <chainring/net/pass_descriptors.hpp>

namespace chainring {

class unix_stream : public local_stream {
  public:
    static constexpr socket_kind kind{.type = SOCK_STREAM, .local = true};

    using local_stream::local_stream;

    static connect_operation<unix_stream>
    connect(const endpoint& to, const socket_options& options = {}) noexcept {
        return {to, options};
    }

    // A connected descriptor becomes a stream of this executor, whose thread must be the caller's (adopt.hpp).
    static result<unix_stream> adopt(adoptable given, byte_spans received = {}) {
        return adopt_stream<unix_stream>(given, received);
    }
};

using unix_listener = listener<unix_stream>;

} // namespace chainring
