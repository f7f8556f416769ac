// The echo server within a libuv loop. Try it:  build/samples/embed_libuv --listen 127.0.0.1:7000
#include "embedded_echo.hpp"

#include <chainring/net/embed/libuv.hpp>

namespace cr = chainring;

namespace {

cr::ended_task<cr::result<void>> serve_within_libuv(cr::executor& home, const cr::endpoint& at) {
    uv_loop_t* const loop = uv_default_loop();
    cr::uv_embedding embedded(home, loop);
    cr::ended_task<cr::result<void>> served;
    cr::spawn(home, serve_any(at), [&](cr::ended_task<cr::result<void>> end) {
        served = std::move(end);
        embedded.stop(); // nothing else is active in the loop: it ends
    });
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return served;
}

} // namespace

int main(int argc, char** argv) {
    return embedded_echo(
        "embed_libuv", "A TCP or unix echo server on chainring, within a libuv loop", argc, argv,
        serve_within_libuv);
}
