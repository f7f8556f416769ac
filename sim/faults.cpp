#include <chainring/sim/faults.hpp>
#include <chainring/sim/world.hpp>

namespace chainring::sim {

namespace {

struct knob {
    const char* name;
    unsigned faults::* value;
    unsigned most;
};

constexpr knob unnoticed[] = {
    {"later", &faults::later, 600},
    {"hold_back", &faults::hold_back, 600},
    {"short_send", &faults::short_send, 500},
    {"short_receive", &faults::short_receive, 700},
    {"late_delivery", &faults::late_delivery, 700},
    {"slow_peer", &faults::slow_peer, 300},
    {"early_end", &faults::early_end, 300},
    {"interrupted", &faults::interrupted, 200},
    {"refused", &faults::refused, 200},
    {"takes_some", &faults::takes_some, 300},
    {"silence", &faults::silence, 300},
    {"in_passing", &faults::in_passing, 500},
    {"oversleeps", &faults::oversleeps, 500},
    {"elusive", &faults::elusive, 500},
    {"failed_accept", &faults::failed_accept, 200},
    {"failed_pin", &faults::failed_pin, 100},
    {"late_notification", &faults::late_notification, 800},
    {"lost_datagram", &faults::lost_datagram, 300},
    {"overtaken_datagram", &faults::overtaken_datagram, 700},
};

constexpr knob errors[] = {
    {"failed_operation", &faults::failed_operation, 30},
    {"short_of_descriptors", &faults::short_of_descriptors, 200},
    {"clock_jump", &faults::clock_jump, 5},
};

void draw(const knob& drawn, faults& into, world& from) {
    if (from.choose(2, "whether a fault occurs") != 0)
        into.*drawn.value = 1 + from.choose(drawn.most, "how often");
}

} // namespace

faults faults::drawn(world& from) {
    faults drawn;
    for (const knob& each : unnoticed) draw(each, drawn, from);
    constexpr std::size_t sizes[] = {2048, 8192, 65'536};
    drawn.buffer = sizes[from.choose(3, "size of a socket's buffers")];
    return drawn;
}

faults faults::with_errors(std::uint64_t seed) {
    world generator(seed, faults{});
    return faults::drawn(generator).and_errors(generator);
}

faults faults::and_errors(world& from) const {
    faults all = *this;
    for (const knob& each : errors) draw(each, all, from);
    return all;
}

std::string faults::to_string() const {
    std::string text;
    const auto show = [&text, this](const knob& each) {
        if (this->*each.value != 0)
            text += std::string(each.name) + '=' + std::to_string(this->*each.value) + ' ';
    };
    for (const knob& each : unnoticed) show(each);
    for (const knob& each : errors) show(each);
    return text + "buffer=" + std::to_string(buffer);
}

} // namespace chainring::sim
