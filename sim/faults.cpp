#include <chainring/sim/faults.hpp>
#include <chainring/sim/world.hpp>

namespace chainring::sim {

faults faults::drawn(world& from) {
    faults drawn;
    const auto knob = [&from](unsigned most) {
        return from.choose(2, "whether a fault occurs") == 0 ? 0 : 1 + from.choose(most, "how often");
    };
    drawn.later = knob(600);
    drawn.hold_back = knob(600);
    drawn.short_send = knob(500);
    drawn.short_receive = knob(700);
    drawn.late_delivery = knob(700);
    drawn.early_end = knob(300);
    drawn.interrupted = knob(200);
    drawn.refused = knob(200);
    drawn.silence = knob(300);
    drawn.in_passing = knob(500);
    drawn.elusive = knob(500);
    constexpr std::size_t sizes[] = {2048, 8192, 65'536};
    drawn.buffer = sizes[from.choose(3, "size of a socket's buffers")];
    return drawn;
}

std::string faults::to_string() const {
    const auto shown = [](const char* name, std::size_t value) {
        return std::string(name) + '=' + std::to_string(value) + ' ';
    };
    return shown("later", later) + shown("hold_back", hold_back) + shown("short_send", short_send) +
           shown("short_receive", short_receive) + shown("late_delivery", late_delivery) +
           shown("early_end", early_end) + shown("interrupted", interrupted) + shown("refused", refused) +
           shown("silence", silence) + shown("in_passing", in_passing) + shown("elusive", elusive) +
           "buffer=" + std::to_string(buffer);
}

} // namespace chainring::sim
