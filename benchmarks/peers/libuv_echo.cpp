// libuv: one buffer for all connections, and a write that is tried at once. Only what finds no room is copied, and waits for
// it; meanwhile nothing is received.
#include "command_line.hpp"
#include "listening.hpp"

#include <uv.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace {

void check(int outcome, const char* what) {
    if (outcome < 0) throw std::runtime_error(std::string(what) + ": " + uv_strerror(outcome));
}

struct connection {
    uv_tcp_t handle;
    uv_write_t write;
    std::vector<char> unsent;

    uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&handle); }
    static connection& of(uv_stream_t* stream) { return *static_cast<connection*>(stream->data); }
};

class echo_server {
  public:
    echo_server(int listener, std::size_t buffer)
        : buffer_(buffer) {
        check(uv_loop_init(&loop_), "uv_loop_init");
        loop_.data = this;
        check(uv_tcp_init(&loop_, &listener_), "uv_tcp_init");
        check(uv_tcp_open(&listener_, listener), "uv_tcp_open");
        check(uv_listen(reinterpret_cast<uv_stream_t*>(&listener_), 4096, accept), "uv_listen");
        check(uv_poll_init(&loop_, &termination_, peers::termination_descriptor()), "uv_poll_init");
        check(
            uv_poll_start(
                &termination_, UV_READABLE, [](uv_poll_t* handle, int, int) { uv_stop(handle->loop); }),
            "uv_poll_start");
    }

    // The process ends after it: what is open is left to that.
    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

    void print_counters() const { std::printf("counters: messages=%llu bytes=%llu\n", messages_, bytes_); }

  private:
    static echo_server& of(const uv_stream_t* stream) {
        return *static_cast<echo_server*>(stream->loop->data);
    }

    static void accept(uv_stream_t* listener, int status) {
        if (status < 0) return;
        auto peer = std::make_unique<connection>();
        if (uv_tcp_init(listener->loop, &peer->handle) < 0) return;
        connection& accepted = *peer.release(); // the handle's from here on
        accepted.handle.data = &accepted;
        if (uv_accept(listener, accepted.stream()) < 0 ||
            uv_read_start(accepted.stream(), lend, received) < 0)
            close(accepted);
    }

    static void lend(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
        auto& buffers = static_cast<echo_server*>(handle->loop->data)->buffer_;
        *buffer = uv_buf_init(buffers.data(), static_cast<unsigned>(buffers.size()));
    }

    static void received(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
        if (count == 0) return; // nothing was there after all
        connection& peer = connection::of(stream);
        if (count < 0) return close(peer);
        echo_server& server = of(stream);
        ++server.messages_;
        server.bytes_ += static_cast<unsigned long long>(count);

        const uv_buf_t reply = uv_buf_init(buffer->base, static_cast<unsigned>(count));
        const int sent = uv_try_write(stream, &reply, 1);
        if (sent == count) return;
        if (sent < 0 && sent != UV_EAGAIN) return close(peer);
        peer.unsent.assign(buffer->base + std::max(sent, 0), buffer->base + count);
        const uv_buf_t rest = uv_buf_init(peer.unsent.data(), static_cast<unsigned>(peer.unsent.size()));
        uv_read_stop(stream);
        if (uv_write(&peer.write, stream, &rest, 1, written) < 0) close(peer);
    }

    static void written(uv_write_t* write, int status) {
        connection& peer = connection::of(write->handle);
        if (uv_is_closing(reinterpret_cast<uv_handle_t*>(write->handle))) return;
        if (status < 0 || uv_read_start(write->handle, lend, received) < 0) close(peer);
    }

    static void close(connection& peer) {
        uv_close(reinterpret_cast<uv_handle_t*>(&peer.handle), [](uv_handle_t* handle) {
            delete static_cast<connection*>(handle->data);
        });
    }

    uv_loop_t loop_;
    uv_tcp_t listener_;
    uv_poll_t termination_;
    std::vector<char> buffer_;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t buffer = peers::buffer_size;
    command_line arguments("libuv_echo: the echo server on libuv");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--buffer", buffer, peers::buffer_option).between(1, peers::largest_buffer);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_on(listen);
        peers::announce(listener);
        echo_server server(listener, buffer);
        server.run();
        server.print_counters();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "libuv_echo: %s\n", failure.what());
        return 1;
    }
}
