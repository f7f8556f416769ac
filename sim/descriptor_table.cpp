#include <chainring/sim/descriptor_table.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace chainring::sim {

int descriptor_table::add(std::shared_ptr<file> opened) {
    if (open_ >= most_open_) return -EMFILE;
    const auto free = std::ranges::find(files_, nullptr);
    const auto number = static_cast<int>(free - files_.begin()) + first_descriptor;
    if (free == files_.end())
        files_.push_back(std::move(opened));
    else
        *free = std::move(opened);
    ++open_;
    return number;
}

bool descriptor_table::has_room() {
    if (world_.knobs().short_of_descriptors == 0) shortage_ = 0; // the world has healed
    if (shortage_ == 0 && world_.chance(world_.knobs().short_of_descriptors, "short of descriptors"))
        shortage_ = 1 + world_.choose(20, "for how many enters");
    return shortage_ == 0 && open_ < most_open_;
}

std::shared_ptr<file> descriptor_table::find(int descriptor) const {
    if (descriptor >= 0 && descriptor < first_descriptor)
        world_.fail(
            "descriptor " + std::to_string(descriptor) +
            " is a real one, of which the simulation knows nothing");
    const auto at = static_cast<std::size_t>(descriptor - first_descriptor);
    return descriptor >= first_descriptor && at < files_.size() ? files_[at] : nullptr;
}

int descriptor_table::close(int descriptor) {
    if (find(descriptor) == nullptr) return -EBADF;
    --open_;
    // The number is free before the file's end is under way.
    const auto closed = std::exchange(files_[static_cast<std::size_t>(descriptor - first_descriptor)], {});
    return 0;
}

void descriptor_table::close_all() noexcept {
    for (auto& each : files_) each.reset();
    open_ = 0;
}

} // namespace chainring::sim
