// Scripts at random, the same one for the same seed.
#pragma once

#include "script.hpp"

#include <chainring/sim/world.hpp>

#include <utility>

namespace chainring::test::conformance {

class random_script {
  public:
    explicit random_script(std::uint64_t seed)
        : draw_(seed, sim::faults{}) {}

    script make() {
        constexpr transport transports[] = {
            transport::tcp, transport::unix_stream, transport::seqpacket, transport::unix_datagram,
            transport::udp};
        connects_ = false;
        made_ = {.over = transports[below(5)], .steps = {}};
        const bool is_unix = made_.over != transport::tcp && made_.over != transport::udp;
        // Back-pressure needs a queue whose end is known: what TCP holds changes by itself.
        const bool crowded = is_unix && one_in(3);
        if (crowded) {
            made_.buffer = 8192;
            add({.what = verb::fill});
        }
        const std::uint32_t count = 2 + below(8);
        for (std::uint32_t number = 0; number < count; ++number) {
            add(random_step(crowded));
            if (one_in(3)) add({.what = verb::enter});
        }
        if (crowded && one_in(2)) {
            add({.what = verb::enter});
            add({.what = verb::drain, .at = far});
        }
        end_chains(made_);
        return std::exchange(made_, {});
    }

  private:
    std::uint32_t below(std::uint32_t count) { return draw_.choose(count, "a part of a script"); }
    bool one_in(std::uint32_t count) { return below(count) == 0; }
    void add(step added) { made_.steps.push_back(added); }
    place an_end() { return one_in(2) ? near : far; }

    // Where there is back-pressure it is on the way from near to far.
    step random_step(bool crowded) {
        switch (below(has_connections(made_.over) ? 16 : 13)) {
        case 0:
        case 1:
        case 2:
        case 3: return linked(random_send(crowded));
        case 4:
        case 5:
        case 6: return linked(random_receive(crowded));
        case 7: return {.what = verb::receive_many, .at = crowded ? near : an_end()};
        case 8: return linked({.what = verb::poll_room, .at = an_end()});
        case 9:
        case 10: return random_cancel();
        case 11: return linked({.what = verb::nothing});
        case 12: return random_end(crowded);
        case 13: // two at once on one socket are no program's aim (docs/simulation.md)
            if (std::exchange(connects_, true)) return linked({.what = verb::nothing});
            return linked({.what = verb::connect, .at = client});
        case 14: return linked({.what = verb::accept, .at = listener});
        default: return {.what = verb::accept_many, .at = listener};
        }
    }

    step random_send(bool crowded) {
        constexpr int ways[] = {0, MSG_WAITALL, MSG_DONTWAIT, MSG_WAITALL | MSG_DONTWAIT};
        constexpr std::size_t small[] = {1, 20, 60, 100};
        constexpr std::size_t large[] = {50, 100, 100, 40'000};
        step made{.what = one_in(4) ? verb::gather : verb::send, .at = crowded ? near : an_end()};
        if (made_.over == transport::tcp && one_in(5)) made.what = verb::send_zero_copy;
        made.size = crowded ? large[below(made_.over == transport::unix_stream ? 4 : 3)] : small[below(4)];
        made.flags = ways[below(4)];
        return made;
    }

    step random_receive(bool crowded) {
        constexpr std::size_t rooms[] = {1, 30, 200};
        step made{.what = verb::receive, .at = an_end(), .size = rooms[below(3)]};
        // What is received of a crowded stream depends on how much of it there is.
        if (crowded) made.at = near;
        if (one_in(4)) made.flags |= MSG_DONTWAIT;
        if (has_records(made_.over) && one_in(4)) made.flags |= MSG_TRUNC;
        return made;
    }

    step random_cancel() {
        step made{.what = verb::cancel};
        for (int tries = 0; tries < 10 && !made_.steps.empty(); ++tries) {
            made.target = below(static_cast<std::uint32_t>(made_.steps.size()));
            if (made_.steps[made.target].takes_sqe()) return linked(made);
        }
        return {.what = verb::nothing};
    }

    step random_shutdown(bool crowded) {
        constexpr int ways[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
        // What this leaves out is in docs/simulation.md: a worker thread would receive datagrams, or wait for room.
        if (!has_connections(made_.over)) return {.what = verb::shutdown, .at = an_end(), .flags = SHUT_WR};
        if (!crowded) return {.what = verb::shutdown, .at = an_end(), .flags = ways[below(3)]};
        const bool at_near = one_in(2);
        return {.what = verb::shutdown, .at = at_near ? near : far, .flags = at_near ? SHUT_WR : SHUT_RD};
    }

    step random_end(bool crowded) {
        switch (below(3)) {
        case 0: return random_shutdown(crowded);
        case 1: return linked({.what = verb::close, .at = an_end()});
        default:
            if (made_.over != transport::tcp) return {.what = verb::enter};
            return {.what = verb::reset_close, .at = an_end()};
        }
    }

    step linked(step made) {
        if (!one_in(3)) return made;
        made.next = one_in(3) ? link_kind::hard : link_kind::soft;
        made.silent = made.what != verb::send_zero_copy && one_in(2);
        return made;
    }

    sim::world draw_; // for its numbers only
    bool connects_ = false;
    script made_{.over = transport::tcp, .steps = {}};
};

} // namespace chainring::test::conformance
