#include <chainring/sim/network.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace chainring::sim {

// Sockets tell their network of their end.
network::~network() {
    for (auto& each : descriptors_) each.reset();
}

int network::add(std::shared_ptr<file> opened) {
    if (open_ >= most_open_) return -EMFILE;
    const auto free = std::ranges::find(descriptors_, nullptr);
    const auto number = static_cast<int>(free - descriptors_.begin()) + first_descriptor;
    if (free == descriptors_.end())
        descriptors_.push_back(std::move(opened));
    else
        *free = std::move(opened);
    ++open_;
    return number;
}

bool network::has_room() {
    if (shortage_ == 0 && world_.chance(world_.knobs().short_of_descriptors, "short of descriptors"))
        shortage_ = 1 + world_.choose(20, "for how many enters");
    return shortage_ == 0 && open_ < most_open_;
}

std::shared_ptr<file> network::find(int descriptor) const {
    const auto at = static_cast<std::size_t>(descriptor - first_descriptor);
    return descriptor >= first_descriptor && at < descriptors_.size() ? descriptors_[at] : nullptr;
}

int network::close(int descriptor) {
    if (find(descriptor) == nullptr) return -EBADF;
    --open_;
    // The number is free before the file's end is under way.
    const auto closed =
        std::exchange(descriptors_[static_cast<std::size_t>(descriptor - first_descriptor)], {});
    return 0;
}

int network::bind(socket& binding, const address& at, address& chosen) {
    chosen = at;
    if (binding.is_internet() && at.port() == 0) chosen = at.with_port(ephemeral_port());
    if (!binding.is_internet() && !at.has_name()) chosen = address::of_number(next_name_++);
    const std::string path = at.path();
    if (!path.empty() && !paths_.try_emplace(path, next_file_, &binding).second) return -EADDRINUSE;
    if (!path.empty()) ++next_file_;
    if (path.empty() && !bound_.try_emplace({binding.type(), chosen.key()}, &binding).second)
        return -EADDRINUSE;
    return 0;
}

void network::unbind(socket& bound) {
    std::erase_if(bound_, [&bound](const auto& each) { return each.second == &bound; });
    for (auto& [path, entry] : paths_)
        if (entry.bound == &bound) entry.bound = nullptr;
}

found_socket network::bound_at(const address& at, int type) const {
    socket* found = nullptr;
    if (const std::string path = at.path(); !path.empty()) {
        const auto entry = paths_.find(path);
        if (entry == paths_.end()) return {nullptr, -ENOENT};
        found = entry->second.bound;
    } else {
        auto entry = bound_.find({type, at.key()});
        if (entry == bound_.end() && at.family() != AF_UNIX)
            entry = bound_.find({type, at.with_any_host().key()});
        if (entry != bound_.end()) found = entry->second;
    }
    if (found == nullptr) return {nullptr, -ECONNREFUSED};
    return {std::static_pointer_cast<socket>(found->shared_from_this()), 0};
}

file_identity network::identify_file(const std::string& path) const {
    const auto found = paths_.find(path);
    return found == paths_.end() ? file_identity{} : file_identity{1, found->second.number};
}

int network::remove_file(const std::string& path) {
    return paths_.erase(path) == 1 ? 0 : -ENOENT;
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
    if (isolated_.empty()) return arriving_.size();
    const auto on_hold =
        std::ranges::partition(arriving_, [](const auto& each) { return each.lock()->may_arrive(); });
    return arriving_.size() - on_hold.size();
}

void network::arrive(std::size_t which) {
    arriving_[which].lock()->arrive();
}

} // namespace chainring::sim
