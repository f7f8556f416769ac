#include <chainring/sim/datagram_wire.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <utility>

namespace chainring::sim {

void datagram_wire::carry(udp_socket& sender, const address& to, std::string bytes) {
    world& within = network_.within();
    // One of every host has the address that its datagrams come from.
    const bool of_any_host = sender.local().is_any_host();
    const address from =
        of_any_host ? network::source(sender.on(), to).with_port(sender.local().port()) : sender.local();
    if (!network_.connects(from, to)) return;
    if (within.chance(within.knobs().lost_datagram, "a datagram is lost")) return;
    const time_point due = within.now() + network_.draw_latency(from, to);
    flight begun{
        std::static_pointer_cast<udp_socket>(sender.shared_from_this()),
        &sender.on(),
        due,
        from,
        to,
        std::move(bytes)};
    bool others_ahead = false;
    for (const flight& each : carried_) {
        if (!begun.follows(each)) continue;
        others_ahead = true;
        begun.due = std::max(begun.due, each.due); // latency alone lets none overtake another
    }
    if (due == within.now() && !within.chance(within.knobs().late_delivery, "late delivery") &&
        !others_ahead) {
        deliver(std::move(begun));
        return;
    }
    carried_.push_back(std::move(begun));
    network_.expect_arrival(network_.shared_wire());
}

bool datagram_wire::may_arrive() const {
    return next_arrival() <= network_.within().now();
}

time_point datagram_wire::next_arrival() const {
    const auto first = std::ranges::min_element(carried_, {}, &flight::due);
    return first == carried_.end() ? time_point::max() : first->due;
}

void datagram_wire::arrive() {
    world& within = network_.within();
    const time_point now = within.now();
    const auto late = std::ranges::partition(carried_, [now](const flight& each) { return each.due <= now; });
    const auto due = static_cast<std::uint32_t>(carried_.size() - late.size());
    auto next = carried_.begin() + within.choose(due, "which datagram arrives");
    if (!within.chance(within.knobs().overtaken_datagram, "it overtakes others"))
        next = std::ranges::find_if(carried_, [&next](const flight& each) { return next->follows(each); });
    flight arrived = std::move(*next);
    carried_.erase(next);
    deliver(std::move(arrived));
}

void datagram_wire::deliver(flight arrived) {
    if (!network_.connects(arrived.from, arrived.to)) return;
    const found_socket found = network_.bound_at(*arrived.machine_of_sender, arrived.to, SOCK_DGRAM);
    if (found.bound != nullptr &&
        std::static_pointer_cast<udp_socket>(found.bound)->take(arrived.from, std::move(arrived.bytes)))
        return;
    world& within = network_.within();
    if (within.chance(within.knobs().lost_datagram, "a refusal is lost")) return;
    if (const auto sender = arrived.sender.lock()) sender->was_refused(arrived.to);
}

} // namespace chainring::sim
