// An Asio server that moves the connections it accepts into chainring. Try it:  build/samples/embed_asio --listen 127.0.0.1:7000
#include "embedded_echo.hpp"

#include <chainring/net/embed/asio.hpp>
#include <chainring/net/embed/use_chainring.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <cstring>
#include <sstream>

namespace cr = chainring;
using boost::asio::ip::tcp;

namespace {

tcp::endpoint in_asio(const cr::endpoint& at) {
    tcp::endpoint same;
    same.resize(at.length());
    std::memcpy(same.data(), at.address(), at.length());
    return same;
}

cr::task<> echo_on(tcp::socket accepted) {
    accepted.set_option(tcp::no_delay(true));
    auto peer = cr::tcp_stream::adopt(cr::owned_descriptor(accepted.release()));
    if (peer) co_await echo(std::move(*peer)); // else the client has reset it
}

cr::task<cr::result<void>> accept_all(tcp::acceptor& acceptor) {
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            auto accepting = cr::until_shutdown(acceptor.async_accept(cr::use_chainring));
            tcp::socket accepted = co_await cr::try_(std::move(accepting));
            sessions.spawn(echo_on(std::move(accepted)));
        }
    });
}

cr::ended_task<cr::result<void>> serve_within_asio(cr::executor& home, const cr::endpoint& at) {
    if (at.family() == AF_UNIX)
        return cr::result<void>(cr::failure(cr::from_errno(EAFNOSUPPORT))); // this Asio server knows TCP
    boost::asio::io_context loop;
    cr::asio_embedding embedded(home, loop);
    tcp::acceptor acceptor(loop, in_asio(at));
    std::ostringstream local;
    local << acceptor.local_endpoint();
    say_where(local.str());
    cr::ended_task<cr::result<void>> served;
    cr::spawn(home, accept_all(acceptor), [&](cr::ended_task<cr::result<void>> end) {
        served = std::move(end);
        embedded.stop(); // nothing else is outstanding in the context: it ends
    });
    loop.run();
    return served;
}

} // namespace

int main(int argc, char** argv) {
    return embedded_echo(
        "embed_asio", "A TCP echo server: Asio accepts, chainring serves, on one thread in Asio's loop", argc,
        argv, serve_within_asio);
}
