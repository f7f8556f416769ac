// A UDP echo server: each datagram goes back to whoever sent it, from the address that it was sent to.
//
//     build/samples/udp_echo --listen 127.0.0.1:7000
#include "command_line.hpp"
#include "datagram_server.hpp"

namespace cr = chainring;

namespace {

cr::task<cr::result<void>> echo_datagrams(cr::endpoint at) {
    auto socket = co_await cr::try_(cr::udp_socket::bind(at, {.packet_info = true}));
    const auto local = co_await cr::try_(socket.local());
    say_where(local);
    for (;;) {
        auto got = co_await cr::until_shutdown(socket.receive());
        if (!got && got.error() == cr::errc::cancelled) break;
        if (!got || got->truncated()) continue; // what is not whole is not sent back
        cr::datagram_send_options options;
        if (const auto info = got->control().destination()) options.source = info->local;
        // Those of a burst go out together.
        (void)co_await socket.write_to(got->from(), got->take_payload(), options);
    }
    (void)co_await socket.flush(); // who cannot be reached any more gets none
    co_return cr::result<void>();
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7000";
    command_line arguments("A UDP echo server on chainring");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7000 or [::1]:7000");
    if (const auto status = arguments.parse(argc, argv)) return *status;
    return serve_datagrams("udp_echo", listen, echo_datagrams);
}
