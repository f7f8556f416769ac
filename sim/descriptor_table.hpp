// The open files of a simulated process, by descriptor.
#pragma once

#include <chainring/sim/file.hpp>

#include <cstddef>
#include <vector>

namespace chainring::sim {

class world;

class descriptor_table {
  public:
    explicit descriptor_table(world& within) noexcept
        : world_(within) {}
    // A file's end may begin the end of another one.
    ~descriptor_table() { close_all(); }
    descriptor_table(const descriptor_table&) = delete;
    descriptor_table& operator=(const descriptor_table&) = delete;

    // The lowest free number is the next one; -EMFILE when there are as many as there may be.
    int add(std::shared_ptr<file> opened);
    // nullptr: it is not open. A number that this table has never had fails the world.
    std::shared_ptr<file> find(int descriptor) const;
    // False also while the world lets the program run short of them.
    bool has_room();
    void entered() noexcept { shortage_ -= shortage_ != 0 ? 1 : 0; }
    int close(int descriptor);
    void close_all() noexcept;
    template <class Visitor> void for_each(const Visitor& visit) const {
        for (const auto& each : files_)
            if (each != nullptr) visit(*each);
    }

    void set_most_open(std::size_t most) noexcept { most_open_ = most; }
    std::size_t open() const noexcept { return open_; }
    void forbid_close_in_flight() noexcept { close_in_flight_forbidden_ = true; }
    bool close_in_flight_forbidden() const noexcept { return close_in_flight_forbidden_; }

  private:
    // No number of a real descriptor: a call that does not come through the seam must fail.
    static constexpr int first_descriptor = 100'000;

    world& world_;
    std::vector<std::shared_ptr<file>> files_;
    std::size_t open_ = 0;
    std::size_t most_open_ = 1024;
    unsigned shortage_ = 0; // enters until there are descriptors again
    bool close_in_flight_forbidden_ = false;
};

} // namespace chainring::sim
