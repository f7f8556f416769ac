#include <chainring/sim/datagram_wire.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <utility>

namespace chainring::sim {

void datagram_wire::carry(udp_socket& sender, std::string bytes) {
    world& within = network_.within();
    if (!network_.reaches(sender.local()) || !network_.reaches(sender.peer_address())) return;
    if (within.chance(within.knobs().lost_datagram, "a datagram is lost")) return;
    flight begun{
        std::static_pointer_cast<udp_socket>(sender.shared_from_this()), sender.local(),
        sender.peer_address(), std::move(bytes)};
    const auto ahead = [&begun](const flight& each) { return begun.follows(each); };
    if (!within.chance(within.knobs().late_delivery, "late delivery") &&
        std::ranges::none_of(carried_, ahead)) {
        deliver(std::move(begun));
        return;
    }
    carried_.push_back(std::move(begun));
    network_.expect_arrival(network_.shared_wire());
}

void datagram_wire::arrive() {
    world& within = network_.within();
    auto next = carried_.begin() +
                within.choose(static_cast<std::uint32_t>(carried_.size()), "which datagram arrives");
    if (!within.chance(within.knobs().overtaken_datagram, "it overtakes others"))
        next = std::ranges::find_if(carried_, [&next](const flight& each) { return next->follows(each); });
    flight arrived = std::move(*next);
    carried_.erase(next);
    deliver(std::move(arrived));
}

void datagram_wire::deliver(flight arrived) {
    if (!network_.reaches(arrived.from) || !network_.reaches(arrived.to)) return;
    const found_socket found = network_.bound_at(arrived.to, SOCK_DGRAM);
    if (found.bound != nullptr &&
        std::static_pointer_cast<udp_socket>(found.bound)->take(arrived.from, std::move(arrived.bytes)))
        return;
    world& within = network_.within();
    if (within.chance(within.knobs().lost_datagram, "a refusal is lost")) return;
    if (const auto sender = arrived.sender.lock()) sender->was_refused(arrived.to);
}

} // namespace chainring::sim
