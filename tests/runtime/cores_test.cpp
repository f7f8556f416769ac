#include "../temporary_directory.hpp"
#include "support.hpp"

#include <chainring/runtime/cores.hpp>

#include <fstream>

using namespace chainring;
using namespace chainring::test;

namespace {

// The files of a system, as far as control groups go.
class system_files {
  public:
    void write(const std::string& file, const std::string& text) const {
        const std::filesystem::path path = directory_.path() / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    std::optional<double> quota() const { return cpu_quota(directory_.path()); }

  private:
    temporary_directory directory_;
};

} // namespace

TEST_CASE("without_control_groups_there_is_no_quota", "[linux]") {
    const system_files files;
    CHECK_FALSE(files.quota().has_value());
    files.write("proc/self/cgroup", "garbage\n\n:::\n0::\n");
    CHECK_FALSE(files.quota().has_value());
}

TEST_CASE("the_smallest_quota_on_the_way_up_counts", "[linux]") {
    const system_files files;
    files.write("proc/self/cgroup", "0::/a.slice/b.scope\n");
    files.write("sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n");
    CHECK_FALSE(files.quota().has_value());
    files.write("sys/fs/cgroup/a.slice/cpu.max", "250000 100000\n");
    CHECK(files.quota() == 2.5);
    files.write("sys/fs/cgroup/a.slice/b.scope/cpu.max", "50000 100000\n");
    CHECK(files.quota() == 0.5);
}

TEST_CASE("in_a_container_the_quota_is_at_the_top", "[linux]") {
    const system_files files;
    files.write("proc/self/cgroup", "0::/docker/0123456789\n");
    files.write("sys/fs/cgroup/cpu.max", "150000 100000\n");
    CHECK(files.quota() == 1.5);
}

TEST_CASE("quotas_of_the_first_version_count_too", "[linux]") {
    const system_files files;
    files.write("proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/a\n0::/\n");
    const std::string mounted =
        GENERATE(as<std::string>(), "sys/fs/cgroup/cpu,cpuacct/a/", "sys/fs/cgroup/cpu/a/");
    files.write(mounted + "cpu.cfs_period_us", "100000\n");
    files.write(mounted + "cpu.cfs_quota_us", "-1\n");
    CHECK_FALSE(files.quota().has_value());
    files.write(mounted + "cpu.cfs_quota_us", "300000\n");
    CHECK(files.quota() == 3.0);
}

TEST_CASE("a_process_may_use_no_more_cores_than_its_affinity_has", "[linux]") {
    const std::vector<unsigned> before = cores_of_this_thread();
    REQUIRE_FALSE(before.empty());
    CHECK(usable_cores() >= 1);
    CHECK(usable_cores() <= before.size());
    {
        const pinned_thread pinned(before.back());
        CHECK(cores_of_this_thread() == std::vector{before.back()});
        CHECK(usable_cores() == 1);
    }
    CHECK(cores_of_this_thread() == before);
    CHECK_THROWS_AS(pinned_thread(CPU_SETSIZE), std::system_error);
}
