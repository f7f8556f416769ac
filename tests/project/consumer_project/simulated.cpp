// A simulated test outside the tree. Called with an argument it fails in some worlds.
#include <chainring/chainring.hpp>
#include <chainring/sim/seeds.hpp>
#include <chainring/sim/simulation.hpp>

#include <string>

namespace cr = chainring;
using namespace std::chrono_literals;

namespace {

cr::task<> greet() {
    auto listener = cr::tcp_listener::bind({"0.0.0.0", 7000});
    auto peer = co_await listener->accept();
    if (peer) (void)co_await peer->send("hello");
}

// All that comes until the end.
cr::task<> listen_to_it(std::string& heard) {
    auto server = co_await cr::tcp_stream::connect(cr::endpoint("10.0.0.1", 7000));
    while (!server) {
        co_await cr::sleep(1ms);
        server = co_await cr::tcp_stream::connect(cr::endpoint("10.0.0.1", 7000));
    }
    for (;;) {
        const auto chunk = co_await server->receive();
        if (!chunk || chunk->empty()) co_return;
        heard += chunk->text();
    }
}

} // namespace

int main(int arguments, char**) {
    return cr::sim::run_seeds(50, [arguments](cr::sim::world& world) {
        std::string heard;
        cr::sim::simulation play(world);
        play.add("10.0.0.1", greet);
        cr::sim::host& client = play.add("10.0.0.2", [&heard] { return listen_to_it(heard); });
        play.run_until([&] { return client.ended(); });
        if (heard != "hello") world.fail("heard: " + heard);
        if (arguments > 1 && world.choose(10, "it fails") == 9) world.fail("it fails on purpose");
    });
}
