// Where operations in flight live. An SQE's user_data names a slot and its generation, so that a late CQE
// never reaches an operation that took the slot over, and every operation in flight can be listed: who, on
// what, since when.
#pragma once

#include <chainring/runtime/kernel.hpp>

#include <cassert>
#include <cstdint>
#include <memory>
#include <vector>

namespace chainring {

// No further CQE follows for the same operation.
inline bool is_terminal(const io_uring_cqe& cqe) noexcept {
    return (cqe.flags & IORING_CQE_F_MORE) == 0;
}

// Takes the CQEs of operations. `complete` runs while completions are being reaped: it changes state and
// makes coroutines ready; it never runs user code and never takes an SQE.
class completion {
  public:
    virtual void complete(const io_uring_cqe& cqe) noexcept = 0;
    // The executor ends without the terminal CQE: only what nobody can end by cancelling, and nobody needs.
    virtual void given_up() noexcept {}

  protected:
    ~completion() = default;
};

struct slot {
    completion* target = nullptr; // nullptr: the slot is free
    time_point since;
    int descriptor = -1;
    std::uint32_t generation = 0;
    std::uint32_t next_free = 0;
    std::uint8_t opcode = 0;
    bool beyond_cancel = false; // what is left of it no cancel would find
};
static_assert(sizeof(slot) == 32);

// What user_data holds. Cancel requests have a CQE of their own, which must not be taken for the operation's.
class operation_id {
  public:
    static constexpr std::uint64_t cancel_tag = std::uint64_t{1} << 63;

    operation_id() noexcept = default;
    operation_id(std::uint32_t index, std::uint32_t generation) noexcept
        : value_((std::uint64_t{generation} << 24) | index) {}
    explicit operation_id(std::uint64_t user_data) noexcept
        : value_(user_data) {}

    std::uint64_t user_data() const noexcept { return value_; }
    // The SQEs of a linked chain are one operation; each knows its place.
    static constexpr unsigned most_members = 64;
    std::uint64_t user_data_of(unsigned member) const noexcept {
        return value_ | std::uint64_t{member} << member_shift;
    }
    static unsigned member_of(const io_uring_cqe& cqe) noexcept {
        return static_cast<unsigned>(cqe.user_data >> member_shift) & (most_members - 1);
    }
    std::uint32_t index() const noexcept { return static_cast<std::uint32_t>(value_) & 0xffffff; }
    std::uint32_t generation() const noexcept { return static_cast<std::uint32_t>(value_ >> 24); }
    explicit operator bool() const noexcept { return value_ != none; }

  private:
    static constexpr std::uint64_t none = ~std::uint64_t{0};
    static constexpr unsigned member_shift = 56; // above 24 bits of index and 32 of generation
    std::uint64_t value_ = none;
};

class slot_table {
  public:
    operation_id acquire(completion& target, std::uint8_t opcode, int descriptor, time_point since) {
        if (first_free_ == none) [[unlikely]]
            grow();
        const std::uint32_t index = first_free_;
        slot& taken = at(index);
        first_free_ = taken.next_free;
        taken.target = &target;
        taken.since = since;
        taken.descriptor = descriptor;
        taken.opcode = opcode;
        taken.beyond_cancel = false;
        ++in_flight_;
        return {index, taken.generation};
    }

    // nullptr when the operation has had its terminal CQE.
    slot* find(operation_id id) noexcept {
        if (id.index() >= size_) return nullptr;
        slot& found = at(id.index());
        return found.target != nullptr && found.generation == id.generation() ? &found : nullptr;
    }

    // What `find` has found for it.
    void release(operation_id id, slot& released) noexcept {
        assert(released.target != nullptr && released.generation == id.generation());
        released.target = nullptr;
        ++released.generation;
        released.next_free = first_free_;
        first_free_ = id.index();
        --in_flight_;
    }

    std::uint32_t in_flight() const noexcept { return in_flight_; }

    template <class Visitor> void for_each_in_flight(Visitor&& visit) const {
        for (std::uint32_t index = 0; index < size_; ++index) {
            const slot& shown = chunks_[index / chunk_size][index % chunk_size];
            if (shown.target != nullptr) visit(operation_id{index, shown.generation}, shown);
        }
    }

  private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    // Grown by chunks, not by doubling: an idle connection keeps one slot, and it should not pay for two.
    static constexpr std::uint32_t chunk_size = 256;

    slot& at(std::uint32_t index) noexcept { return chunks_[index / chunk_size][index % chunk_size]; }

    [[gnu::noinline]] void grow() {
        chunks_.push_back(std::make_unique<slot[]>(chunk_size));
        for (std::uint32_t index = size_ + chunk_size; index-- > size_;) {
            slot& added = chunks_.back()[index - size_];
            added.next_free = first_free_;
            first_free_ = index;
        }
        size_ += chunk_size;
    }

    std::vector<std::unique_ptr<slot[]>> chunks_;
    std::uint32_t size_ = 0;
    std::uint32_t first_free_ = none;
    std::uint32_t in_flight_ = 0;
};

} // namespace chainring
