// The receive buffers of one executor. The kernel picks a block from a provided-buffer ring when data is
// there, so an idle connection owns none; the user gets it as a lease and the lease's end brings it home.
//
// A block is in one of four places: free, in the ring, in a connection's queue of received data, or leased.
// The kernel is offered only a part of the pool, which is refilled from the free blocks only when it is half empty: a
// lightly loaded server goes round a few blocks, which stay in cache. And what is offered is all that one connection can take
// before it can be stopped, so it is little, and more only where others find nothing.
//
// Blocks that tasks keep, or leave in queues, must not lock everyone else out. So the pool grows by a block for
// each receiver that has waited long enough for one to come home, or for which nothing else is left to do, and shrinks
// again when there is no shortage.
#pragma once

#include <chainring/runtime/block_memory.hpp>
#include <chainring/runtime/buffer.hpp>
#include <chainring/runtime/inbox.hpp>
#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/provided_ring.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace chainring {

struct buffer_options {
    std::uint32_t block_size = 4096;   // bytes; the most that one receive yields
    std::uint32_t blocks = 1024;       // that there always are
    std::uint32_t most_blocks = 32768; // that there may be while others are held; never more than 32768
};

struct starved_tag;

// Has nothing to receive into until blocks come home.
class starved_receiver : public list_node<starved_tag> {
  public:
    virtual void fed() noexcept = 0; // there is a block now

  protected:
    ~starved_receiver() = default;

  private:
    friend class buffer_pool;
    std::uint32_t since_ = 0; // the pool's count of feedings
};

class buffer_pool {
  public:
    // The group id under which the kernel knows the ring of blocks of an executor's own pool. Others, for sockets with
    // blocks of another size, have the next ones that are free.
    static constexpr std::uint16_t group = 0;
    // Blocks that are offered to the kernel at a time, until somebody has found none. In throughput mode an enter runs twenty
    // completions or so, and beside a connection that takes the 32 blocks it may the others find one each.
    static constexpr std::uint32_t offered_at_first(task_work_mode mode) noexcept {
        return mode == task_work_mode::throughput ? 64 : 32;
    }
    enum class kind : bool { of_the_executor, further };

    // Throws std::system_error (out of memory, registration refused). `wake` wakes the executor from another
    // thread.
    static buffer_pool* open(
        kernel& behind, ring& registered_with, const buffer_options& options, inbox& wake,
        kind opened = kind::of_the_executor);

    // The executor is done with it: every operation that could take a block has ended. Memory goes when the
    // last lease does.
    void close() noexcept;

    // The thread whose leases come home without a lock, those of the executor's further pools too.
    void set_home_thread() noexcept;
    std::uint16_t group_id() const noexcept { return group_; }

    // The CQE took a block out of the ring, which is in the caller's care from here: to lease or to put back.
    std::uint16_t taken_by_kernel(const io_uring_cqe& cqe) noexcept {
        const auto block = static_cast<std::uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
        assert(block < made_ && headers_[block].provided);
        headers_[block].provided = false;
        if (--provided_ <= offered_ / 2) [[unlikely]]
            refill();
        return block;
    }
    // A block for bytes that no receive of the ring's brings; `none` if there is no room. The caller's as above.
    std::uint16_t take() noexcept;
    std::span<std::byte> memory_of(std::uint16_t block) noexcept {
        return {memory_.block(block), block_size_};
    }
    // On which descriptor, and when, its bytes were received.
    void came_from(std::uint16_t block, int descriptor, time_point when) noexcept {
        headers_[block].descriptor = descriptor;
        headers_[block].since = when.time_since_epoch().count();
    }
    // `size` received bytes in a block, from `offset` on, become a lease.
    buffer lease(std::uint16_t block, std::uint32_t offset, std::uint32_t size) noexcept {
        ++leased_;
        headers_[block].leased = true;
        return {*this, memory_.block(block) + offset, size, block};
    }
    // A block that nobody leased goes home.
    void put_back(std::uint16_t block) noexcept;

    // The queue of received blocks of a connection is linked through the pool.
    std::uint16_t& next_of(std::uint16_t block) noexcept { return headers_[block].next; }
    std::uint32_t& size_of(std::uint16_t block) noexcept { return headers_[block].size; }
    const std::byte* data_of(std::uint16_t block) const noexcept { return memory_.block(block); }

    // The pool has grown for those who starved: a receiver should take one block, not what there is.
    bool in_shortage() const noexcept { return blocks_ != base_; }
    void starve(starved_receiver& receiver) noexcept {
        receiver.since_ = feedings_;
        starved_.push_back(receiver);
    }
    bool someone_starves() const noexcept { return !starved_.empty(); }
    // Someone starves, and needs not.
    bool may_feed() const noexcept { return someone_starves() && (provided_ != 0 || may_grow()); }
    // A connection that had nothing has found no block, which others took: more are offered.
    void offer_more() noexcept {
        if (first_free_ != none) offered_ = std::min(offered_ + 8, provided_ring_.entries());
    }
    // A connection has got far more than it may keep waiting: less is offered.
    void offer_less() noexcept {
        if (offered_ > least_offered_) offered_ = std::max(offered_ - offered_ / 8, least_offered_);
    }
    // What a connection is not expected to get in one go.
    std::uint32_t least_offered() const noexcept { return least_offered_; }
    // Once a turn while someone starves: tells as many as there are blocks, and those who have waited too long, which is at
    // once if nothing has happened since the last time. `work`: what the executor has done so far, by any measure.
    void feed_starved(std::uint64_t work) noexcept;

    // Blocks that died on other threads. Cheap when there are none.
    void collect_remote() noexcept {
        if (remote_pending_.load(std::memory_order_acquire)) [[unlikely]]
            collect_remote_now();
    }
    bool remote_pending() const noexcept { return remote_pending_.load(std::memory_order_seq_cst); }

    std::uint32_t blocks() const noexcept { return blocks_; } // all that there are at present
    std::uint32_t block_size() const noexcept { return block_size_; }
    std::uint32_t leased() const noexcept { return leased_; }
    std::uint32_t provided() const noexcept { return provided_; }
    std::uint32_t offered() const noexcept { return offered_; } // the most that are provided at a time
    std::uint32_t free() const noexcept { return free_count_; }
    // What is leased, by the descriptor on which it was received, for people.
    std::vector<std::string> describe_leases(time_point now) const;

  private:
    friend class buffer;

    struct header {
        std::uint32_t size;
        std::uint16_t next;
        bool provided; // the kernel must never report a block that is not in its ring
        bool leased;
        int descriptor;
        time_point::rep since;
    };

    buffer_pool(
        kernel& behind, ring& registered_with, const buffer_options& options, inbox& wake, kind opened);
    ~buffer_pool() = default;
    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;

    void provide(std::uint16_t block) noexcept;
    void refill() noexcept;
    void come_home(std::uint16_t block) noexcept;
    void come_home_or_retire(std::uint16_t extra) noexcept;
    bool few_are_left() const noexcept { return first_free_ == none && provided_ <= offered_ / 2; }
    bool may_grow() const noexcept { return first_retired_ != none || made_ < most_blocks_; }
    std::uint16_t extra_block() noexcept;
    bool grow() noexcept;
    void lease_ended(std::uint16_t block) noexcept;
    void lease_ended_elsewhere(std::uint16_t block) noexcept;
    void collect_remote_now() noexcept;

    kernel& kernel_;
    ring& ring_;
    inbox& wake_;
    std::atomic<const void*> home_; // what its executor's thread is known by, while it is open
    std::uint16_t group_ = group;
    std::uint32_t block_size_;
    std::uint32_t base_; // the blocks from this one on are extra: they come and go
    std::uint32_t most_blocks_;
    std::uint32_t made_;   // the blocks that there have ever been
    std::uint32_t blocks_; // those of them that are not retired
    block_memory memory_;
    provided_ring provided_ring_;
    std::unique_ptr<header[]> headers_;
    std::uint16_t first_free_ = none;
    std::uint16_t first_retired_ = none;
    std::uint32_t free_count_ = 0;
    std::uint32_t offered_; // to the kernel at a time
    std::uint32_t provided_ = 0;
    std::uint32_t leased_ = 0;
    intrusive_list<starved_receiver, starved_tag> starved_; // the one that has waited longest first
    std::uint32_t feedings_ = 0;
    std::uint64_t work_at_feeding_ = 0;

    std::atomic<bool> remote_pending_ = false;
    std::mutex remote_mutex_;
    std::vector<std::uint16_t> remote_; // under the mutex
    bool closed_ = false;               // under the mutex
    std::uint32_t leased_at_close_ = 0; // under the mutex
    std::uint32_t least_offered_;

  public:
    static constexpr std::uint16_t none = 0xffff;
};

} // namespace chainring
