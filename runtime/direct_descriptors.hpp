// Direct descriptors: places in a table of the ring's own. A connection in one takes no descriptor of the process, and
// its operations find their file without the process's table.
//
// A connection that is accepted into a full table is lost, so a place is claimed before anything is accepted.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <utility>

namespace chainring {

// How an operation names its file.
struct file_handle {
    int number = -1;
    bool direct = false; // `number` is a place in the ring's table, not a descriptor
};

inline void prepare_close(io_uring_sqe& sqe, file_handle file) noexcept {
    if (file.direct)
        io_uring_prep_close_direct(&sqe, static_cast<unsigned>(file.number));
    else
        io_uring_prep_close(&sqe, file.number);
}

class direct_table {
  public:
    explicit direct_table(std::uint32_t places) noexcept
        : places_(places) {}

    std::uint32_t places() const noexcept { return places_; }
    std::uint32_t claimed() const noexcept { return claimed_; }

  private:
    friend class direct_place;

    std::uint32_t places_;
    std::uint32_t claimed_ = 0;
};

// One place that nothing else is accepted into, from before the accept until the close has ended. Which one it is the
// kernel chooses.
class direct_place {
  public:
    direct_place() noexcept = default; // none
    // Empty if the table is full.
    explicit direct_place(direct_table& table) noexcept {
        if (table.claimed_ == table.places_) return;
        ++table.claimed_;
        table_ = &table;
    }
    direct_place(direct_place&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)) {}
    direct_place& operator=(direct_place&& other) noexcept {
        if (this != &other) {
            end();
            table_ = std::exchange(other.table_, nullptr);
        }
        return *this;
    }
    ~direct_place() { end(); }

    explicit operator bool() const noexcept { return table_ != nullptr; }
    void end() noexcept {
        if (table_ != nullptr) --std::exchange(table_, nullptr)->claimed_;
    }

  private:
    direct_table* table_ = nullptr;
};

} // namespace chainring
