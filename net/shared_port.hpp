// shared_port: one address on which every executor of a runtime listens.
//
//     auto port = co_await cr::try_(cr::shared_port<cr::tcp_stream>::open({"0.0.0.0", 7000}));
//     co_return co_await cr::for_each_executor([&port] { return serve(port); });
//
//     cr::task<cr::result<void>> serve(const cr::shared_port<cr::tcp_stream>& port) {
//         auto listener = co_await cr::try_(port.listen());
#pragma once

#include <chainring/net/listener.hpp>

namespace chainring {

enum class port_sharing : std::uint8_t {
    // A socket for each executor (SO_REUSEPORT): the kernel spreads connections over them by a hash of their addresses. Of many
    // connections each gets its share; of few, or of few that have much to do, some executors get more than others. Who waits in
    // the backlog of an executor that is busy waits for that one. Unix sockets have no such thing, and use the other way.
    a_socket_each,
    // One socket, from which all accept: nobody waits in a backlog while an executor is idle. But the one that has slept longest is
    // woken, and a server that is not busy may serve most of its connections on one executor.
    one_socket,
};

// What is the same for all kinds of streams.
class shared_port_base {
  public:
    // With the port that the kernel chose.
    const endpoint& local() const noexcept { return local_; }

  protected:
    shared_port_base(const listen_options& options, port_sharing sharing) noexcept
        : options_(options)
        , sharing_(sharing) {}

    // Keeps the port without listening; `listen` binds sockets of their own.
    result<void> reserve(const socket_kind& kind, const endpoint& at);
    // Another descriptor of `of`.
    static result<owned_descriptor> duplicate(int of);

    listen_options options_;
    port_sharing sharing_;
    endpoint local_;
    owned_descriptor reserved_;
};

// Move-only. It must outlive the calls of `listen`, and it keeps the port while it lives.
template <class Stream> class shared_port : public shared_port_base {
  public:
    // Of the options all hold for each listener; `max_connections` is the limit of each. On an executor's thread.
    // errors: as those of listener::bind
    static result<shared_port> open(
        const endpoint& at, const listen_options& options = {},
        port_sharing sharing = port_sharing::a_socket_each) {
        shared_port made(options, at.family() == AF_UNIX ? port_sharing::one_socket : sharing);
        if (const result<void> opened = made.open_at(at); !opened) return failure(opened.error());
        return made;
    }

    // A listener of this executor. From any of the runtime's.
    // errors: as those of listener::bind, or of listener::adopt
    result<listener<Stream>> listen() const {
        if (sharing_ == port_sharing::a_socket_each) return listener<Stream>::bind(local_, options_);
        result<owned_descriptor> own = duplicate(reserved_.get());
        if (!own) return failure(own.error());
        return listener<Stream>::adopt(std::move(*own), options_);
    }

  private:
    using shared_port_base::shared_port_base;

    result<void> open_at(const endpoint& at) {
        if (sharing_ == port_sharing::a_socket_each) {
            options_.socket.reuse_port = true;
            return reserve(Stream::kind, at);
        }
        options_.shared = true;
        result<listener<Stream>> opened = listener<Stream>::bind(at, options_);
        if (!opened) return failure(opened.error());
        first_ = std::move(*opened);
        const result<endpoint> local = first_.local();
        result<owned_descriptor> own = duplicate(first_.native_handle());
        if (!local || !own) return failure(local ? own.error() : local.error());
        local_ = *local;
        reserved_ = std::move(*own);
        return {};
    }

    listener<Stream> first_; // accepts nothing, and removes a unix socket's path in the end
};

} // namespace chainring
