// A test on simulated machines, as a plain program. The server of the first test forgets what it has heard, and is caught:
//
//     build/samples/simulated_counter forgetful
//     build/samples/simulated_counter remembering
#include "bad_day.hpp"

#include <chainring/sim/seeds.hpp>

#include <cstdio>
#include <string_view>

int main(int argc, char** argv) {
    const std::string_view server = argc == 2 ? argv[1] : "";
    if (server != "forgetful" && server != "remembering") {
        std::fprintf(stderr, "usage: simulated_counter forgetful|remembering\n");
        return 2;
    }
    const counter::memory remembered =
        server == "forgetful" ? counter::memory::none : counter::memory::of_last_request;
    return chainring::sim::run_seeds(2000, [remembered](chainring::sim::world& world) {
        counter::bad_day day(world, remembered);
        const std::uint64_t counted = day.total_in_the_evening();
        if (counted != 2 * counter::bad_day::additions)
            world.fail("20 additions were confirmed, and the server counts " + std::to_string(counted));
    });
}
