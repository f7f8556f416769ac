// How a simulated ring closes files, and its table of direct descriptors.
#include <chainring/sim/simulated_ring.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace chainring::sim {

simulated_ring::attempt simulated_ring::close(request& tried) {
    if (tried.sqe.file_index != 0) return end(tried, close_direct(tried.sqe.file_index - 1));
    std::shared_ptr<file> closed = files_.find(tried.sqe.fd);
    check_close(closed);
    // What is submitted behind it may come before the file's end.
    if (closed != nullptr && world_.chance(world_.knobs().later, "a closed file ends later"))
        closed_.push_back(closed);
    return end(tried, files_.close(tried.sqe.fd));
}

int simulated_ring::close_direct(unsigned place) {
    if (direct_.empty()) return -ENXIO;
    if (place >= direct_.size()) return -EINVAL;
    if (direct_[place] == nullptr) return -EBADF;
    check_close(direct_[place]);
    // The place is free before the file's end is under way.
    const auto closed = std::exchange(direct_[place], {});
    return 0;
}

void simulated_ring::check_close(const std::shared_ptr<file>& closed) const {
    if (closed == nullptr || !files_.close_in_flight_forbidden()) return;
    for (const auto& each : parked_)
        if (each->target == closed) world_.fail("closed with an operation in flight: " + to_string(*each));
}

// What finds the table full has been accepted, and is dropped.
int simulated_ring::place_directly(std::shared_ptr<file> accepted) {
    const auto free = std::ranges::find(direct_, nullptr);
    if (free == direct_.end()) return -ENFILE;
    *free = std::move(accepted);
    return static_cast<int>(free - direct_.begin());
}

} // namespace chainring::sim
