// The echo server within a GLib main loop. Try it:  build/samples/embed_glib --listen 127.0.0.1:7000
#include "embedded_echo.hpp"

#include <chainring/net/embed/glib.hpp>

namespace cr = chainring;

namespace {

cr::ended_task<cr::result<void>> serve_within_glib(cr::executor& home, const cr::endpoint& at) {
    const std::unique_ptr<GMainLoop, void (*)(GMainLoop*)> loop(
        g_main_loop_new(nullptr, FALSE), g_main_loop_unref);
    const cr::glib_embedding embedded(home);
    cr::ended_task<cr::result<void>> served;
    cr::spawn(home, serve_any(at), [&](cr::ended_task<cr::result<void>> end) {
        served = std::move(end);
        g_main_loop_quit(loop.get());
    });
    g_main_loop_run(loop.get());
    return served;
}

} // namespace

int main(int argc, char** argv) {
    return embedded_echo(
        "embed_glib", "A TCP or unix echo server on chainring, within a GLib main loop", argc, argv,
        serve_within_glib);
}
