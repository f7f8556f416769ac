// Unix stream sockets, by path or abstract name: unix_stream and unix_listener. A listener removes its path
// when it closes.
#pragma once

#include <chainring/net/connect.hpp>
#include <chainring/net/listener.hpp>

namespace chainring {

class unix_stream : public stream {
  public:
    using stream::stream;

    static connect_operation<unix_stream>
    connect(const endpoint& to, const socket_options& options = {}) noexcept {
        return {to, options};
    }
};

using unix_listener = listener<unix_stream>;

} // namespace chainring
