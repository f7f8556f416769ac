#include <chainring/sim/network.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace chainring::sim {

const machine& network::machine_at(const std::string& host) {
    const address at = address::of_host(host);
    const auto next = static_cast<unsigned>(machines_.size() + 1);
    return machines_.try_emplace(at.host_key(), next, at).first->second;
}

int network::bind(socket& binding, const address& at, address& chosen) {
    const machine& on = binding.on();
    chosen = at;
    if (binding.is_internet()) {
        const bool own =
            on.number == 0 || at.is_loopback() || at.is_any_host() || at.host_key() == on.at.host_key();
        if (!own) return -EADDRNOTAVAIL;
        if (at.port() == 0) chosen = free_port(binding, at);
    } else if (!at.has_name()) {
        chosen = address::of_number(next_name_++);
    }
    const std::string path = at.path();
    if (!path.empty() && !paths_.try_emplace({on.number, path}, next_file_, &binding).second)
        return -EADDRINUSE;
    if (!path.empty()) ++next_file_;
    if (path.empty() && !bound_.try_emplace({binding.type(), on.number, chosen.key()}, &binding).second)
        return -EADDRINUSE;
    return 0;
}

// One that is in use where all are.
address network::free_port(const socket& binding, const address& at) {
    address tried = at.with_port(ephemeral_port());
    for (int more = last_port - first_port; more > 0; --more) {
        if (!bound_.contains({binding.type(), binding.on().number, tried.key()})) break;
        tried = at.with_port(ephemeral_port());
    }
    return tried;
}

void network::unbind(socket& bound) {
    std::erase_if(bound_, [&bound](const auto& each) { return each.second == &bound; });
    for (auto& [path, entry] : paths_)
        if (entry.bound == &bound) entry.bound = nullptr;
}

address network::source(const machine& on, const address& to) {
    const bool own = on.number != 0 && !to.is_loopback() && to.family() == on.at.family();
    return (own ? on.at : to).with_port(0);
}

found_socket network::bound_at(const machine& from, const address& at, int type) const {
    socket* found = nullptr;
    if (const std::string path = at.path(); !path.empty()) {
        const auto entry = paths_.find({from.number, path});
        if (entry == paths_.end()) return {nullptr, -ENOENT};
        found = entry->second.bound;
    } else {
        unsigned on = from.number;
        if (on != 0 && at.family() != AF_UNIX && !at.is_loopback()) {
            const auto host = machines_.find(at.host_key());
            if (host == machines_.end()) return {nullptr, -EHOSTUNREACH};
            on = host->second.number;
        }
        auto entry = bound_.find({type, on, at.key()});
        if (entry == bound_.end() && at.family() != AF_UNIX)
            entry = bound_.find({type, on, at.with_any_host().key()});
        if (entry != bound_.end()) found = entry->second;
    }
    if (found == nullptr) return {nullptr, -ECONNREFUSED};
    return {std::static_pointer_cast<socket>(found->shared_from_this()), 0};
}

file_identity network::identify_file(const machine& on, const std::string& path) const {
    const auto found = paths_.find({on.number, path});
    return found == paths_.end() ? file_identity{} : file_identity{1, found->second.number};
}

int network::remove_file(const machine& on, const std::string& path) {
    return paths_.erase({on.number, path}) == 1 ? 0 : -ENOENT;
}

void network::check_is_there(const address& host) const {
    if (machines_.empty() || machines_.contains(host.host_key())) return;
    throw std::invalid_argument("no machine has the address " + host.to_string());
}

void network::separate(const address& one, const address& other) {
    check_is_there(one);
    check_is_there(other);
    cuts_.insert(pair_of(one, other));
}

void network::set_latency(const latency& each_way) {
    if (each_way.least > each_way.most || each_way.least < duration::zero())
        throw std::invalid_argument("a latency of less than nothing, or of more at least than at most");
    latency_ = each_way;
}

network::host_pair network::pair_of(const address& one, const address& other) {
    return std::minmax(one.host_key(), other.host_key());
}

bool network::is_cut(const address& one, const address& other) const {
    return cuts_.contains({one.host_key(), {}}) || cuts_.contains({other.host_key(), {}}) ||
           cuts_.contains(pair_of(one, other));
}

duration network::draw_latency(const address& from, const address& to) {
    if (latency_.most == duration::zero() || from.host_key() == to.host_key()) return {};
    may_wait_ = true;
    using std::chrono::microseconds;
    const auto span = std::chrono::duration_cast<microseconds>(latency_.most - latency_.least).count();
    const auto drawn =
        world_.choose(static_cast<std::uint32_t>(std::max<std::int64_t>(span, 0)) + 1, "latency");
    return latency_.least + microseconds(drawn);
}

void network::expect_arrival(const std::shared_ptr<traveller>& at) {
    const auto same = [&at](const std::weak_ptr<traveller>& each) { return each.lock() == at; };
    if (std::ranges::none_of(arriving_, same)) arriving_.push_back(at);
}

std::size_t network::arrivals() {
    std::erase_if(arriving_, [](const std::weak_ptr<traveller>& each) {
        const auto to = each.lock();
        return to == nullptr || !to->has_arrivals();
    });
    if (cuts_.empty() && !may_wait_) return arriving_.size();
    const auto on_hold =
        std::ranges::partition(arriving_, [](const auto& each) { return each.lock()->may_arrive(); });
    return arriving_.size() - on_hold.size();
}

void network::arrive(std::size_t which) {
    arriving_[which].lock()->arrive();
}

time_point network::next_arrival() const {
    time_point next = time_point::max();
    for (const std::weak_ptr<traveller>& each : arriving_) {
        const auto to = each.lock();
        if (to != nullptr && to->has_arrivals()) next = std::min(next, to->next_arrival());
    }
    return next;
}

} // namespace chainring::sim
