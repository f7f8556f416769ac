#include <chainring/runtime/cores.hpp>
#include <chainring/runtime/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

namespace chainring {

namespace {

// Hosts with more cores than one set holds pass for so many; the kernel wants room for all of them.
cpu_set_t affinity_of_this_thread() noexcept {
    std::array<cpu_set_t, 8> cores{};
    cpu_set_t& first = cores.front();
    if (::sched_getaffinity(0, sizeof cores, &first) != 0 || CPU_COUNT(&first) == 0) CPU_SET(0, &first);
    return first;
}

std::string first_line_of(const std::filesystem::path& file) {
    std::string line;
    std::getline(std::ifstream(file) >> std::ws, line);
    return line;
}

std::optional<double> number_in(const std::string& text) {
    std::istringstream in(text);
    double value = 0;
    if (in >> value) return value;
    return std::nullopt;
}

// "200000 100000", microseconds of a period; or "max 100000".
std::optional<double> quota_v2(const std::filesystem::path& group) {
    std::istringstream in(first_line_of(group / "cpu.max"));
    double quota = 0;
    double period = 0;
    if (in >> quota >> period && quota > 0 && period > 0) return quota / period;
    return std::nullopt;
}

std::optional<double> quota_v1(const std::filesystem::path& group) {
    const auto quota = number_in(first_line_of(group / "cpu.cfs_quota_us"));
    const auto period = number_in(first_line_of(group / "cpu.cfs_period_us"));
    if (quota && period && *quota > 0 && *period > 0) return *quota / *period; // -1: none
    return std::nullopt;
}

using quota_of = std::optional<double> (*)(const std::filesystem::path&);

// Of a group and of those above it. In a container the mounted tree may begin at the group itself: what is not there has no quota,
// and the top is looked at in any case.
std::optional<double>
least_quota(const std::filesystem::path& mounted, std::filesystem::path group, quota_of quota) {
    std::optional<double> least;
    for (;;) {
        const auto found = quota(mounted / group.relative_path());
        if (found && (!least || *found < *least)) least = found;
        if (!group.has_relative_path()) return least;
        group = group.parent_path();
    }
}

bool names_cpu(const std::string& controllers) {
    std::istringstream in(controllers);
    for (std::string each; std::getline(in, each, ',');)
        if (each == "cpu") return true;
    return false;
}

} // namespace

std::optional<double> cpu_quota(const std::filesystem::path& root) {
    std::optional<double> least;
    std::ifstream groups(root / "proc/self/cgroup");
    // "0::/user.slice" of v2, "4:cpu,cpuacct:/user.slice" of v1.
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::filesystem::path group = line.substr(second + 1);
        std::optional<double> found;
        if (controllers.empty()) {
            found = least_quota(root / "sys/fs/cgroup", group, quota_v2);
        } else if (names_cpu(controllers)) {
            // Some systems link one of these names to the other, some have the one or the other.
            for (const std::string& mounted : {controllers, std::string("cpu")})
                if (!found) found = least_quota(root / "sys/fs/cgroup" / mounted, group, quota_v1);
        }
        if (found && (!least || *found < *least)) least = found;
    }
    return least;
}

std::vector<unsigned> cores_of_this_thread() {
    const cpu_set_t mask = affinity_of_this_thread();
    std::vector<unsigned> cores;
    for (unsigned core = 0; core < CPU_SETSIZE; ++core)
        if (CPU_ISSET(core, &mask)) cores.push_back(core);
    return cores;
}

unsigned usable_cores() {
    const auto cores = static_cast<double>(cores_of_this_thread().size());
    const double share = std::min(cores, std::ceil(cpu_quota().value_or(cores)));
    return static_cast<unsigned>(std::max(share, 1.0));
}

pinned_thread::pinned_thread(unsigned core)
    : before_(affinity_of_this_thread()) {
    cpu_set_t only;
    CPU_ZERO(&only);
    if (core < CPU_SETSIZE) CPU_SET(core, &only);
    if (::sched_setaffinity(0, sizeof only, &only) != 0)
        throw std::system_error(from_errno(errno), "pinning a thread to core " + std::to_string(core));
}

pinned_thread::~pinned_thread() {
    ::sched_setaffinity(0, sizeof before_, &before_);
}

} // namespace chainring
