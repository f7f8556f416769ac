// Connections to two listeners of its own, and one whose listener answers nobody.
#include <chainring/chainring.hpp>

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>

namespace cr = chainring;

namespace {

cr::endpoint at_of(cr::tcp_listener& listener) {
    return listener.local().value();
}

cr::task<> receives(cr::endpoint at) {
    auto stream = co_await cr::tcp_stream::connect(at);
    (void)co_await stream->receive();
}

cr::task<> receives_into_memory(cr::endpoint at) {
    std::array<std::byte, 16> memory{};
    auto stream = co_await cr::tcp_stream::connect(at);
    (void)co_await stream->receive_into(memory);
}

// Nobody receives it.
cr::task<> sends_its_own(cr::endpoint at) {
    const std::string bytes(1 << 20, 'x');
    auto stream = co_await cr::tcp_stream::connect(at);
    for (;;) {
        const auto sent = co_await stream->send(std::string_view(bytes));
        if (!sent) co_return;
    }
}

cr::task<> connects(cr::endpoint at) {
    (void)co_await cr::tcp_stream::connect(at);
}
cr::task<> all() {
    auto fourth = cr::tcp_listener::bind({"127.0.0.1", 0}).value();
    auto sixth = cr::tcp_listener::bind({"::1", 0}).value();
    const int full = ::socket(AF_INET, SOCK_STREAM, 0);
    const cr::endpoint anywhere("127.0.0.1", 0);
    if (::bind(full, anywhere.address(), anywhere.length()) != 0 || ::listen(full, 0) != 0) co_return;
    sockaddr_in room{};
    socklen_t length = sizeof room;
    ::getsockname(full, reinterpret_cast<sockaddr*>(&room), &length);
    const auto silent = cr::endpoint::from_native(reinterpret_cast<sockaddr*>(&room), length);
    auto first = co_await cr::tcp_stream::connect(silent);
    const cr::endpoint ends[] = {at_of(fourth), at_of(sixth)};
    co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
        for (const cr::endpoint& end : ends) group.spawn(receives(end));
        group.spawn(receives_into_memory(ends[0]));
        group.spawn(sends_its_own(ends[0]));
        group.spawn(connects(silent));
        (void)co_await cr::sleep(std::chrono::milliseconds(200));
        std::printf(
            "waiting %s %s %s\n", ends[0].to_string().c_str(), ends[1].to_string().c_str(),
            silent.to_string().c_str());
        std::fflush(stdout);
    });
}

} // namespace

int main() {
    return cr::runtime{}.run(all());
}
