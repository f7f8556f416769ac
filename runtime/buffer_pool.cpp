#include <chainring/runtime/audit.hpp>
#include <chainring/runtime/buffer_pool.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>
#include <map>

namespace chainring {

namespace {

// A thread knows the executor to whose pools it may return leases without a lock: by its inbox.
constinit thread_local const void* home_here = nullptr;

// More provided blocks than completions of a turn bring nothing and cost cache.
constexpr std::uint32_t most_provided = 256;

// Turns in which a starved receiver waits for a block to come home before there is one more. In a loaded server
// blocks come home all the time, and warm ones are better than more. An idle executor would turn for nothing.
constexpr std::uint32_t patience = 16;

task_work_mode mode_of(ring& opened) noexcept {
    const bool deferred = (opened.native().flags & IORING_SETUP_DEFER_TASKRUN) != 0;
    return deferred ? task_work_mode::throughput : task_work_mode::latency;
}

} // namespace

buffer_pool* buffer_pool::open(
    kernel& behind, ring& registered_with, const buffer_options& options, inbox& wake, kind opened) {
    return new buffer_pool(behind, registered_with, options, wake, opened);
}

buffer_pool::buffer_pool(
    kernel& behind, ring& registered_with, const buffer_options& options, inbox& wake, kind opened)
    : kernel_(behind)
    , ring_(registered_with)
    , wake_(wake)
    , home_(&wake)
    , block_size_(std::max(options.block_size, 64U))
    , base_(std::clamp(options.blocks, 1U, 32768U))
    , most_blocks_(std::clamp(options.most_blocks, base_, 32768U))
    , made_(base_)
    , blocks_(base_)
    , memory_(block_size_, most_blocks_)
    , provided_ring_(std::min(std::bit_ceil(base_), most_provided))
    , headers_(std::make_unique_for_overwrite<header[]>(most_blocks_))
    , least_offered_(std::min(provided_ring_.entries(), offered_at_first(mode_of(registered_with)))) {
    offered_ = least_offered_;
    remote_.reserve(most_blocks_); // so that a lease that ends on another thread allocates nothing
    if (!memory_.extend(base_)) throw std::system_error(from_errno(ENOMEM), "mapping receive buffers");
    int returned = -EEXIST;
    if (opened == kind::of_the_executor) returned = provided_ring_.open(kernel_, ring_, group_);
    for (unsigned tries = 0; returned == -EEXIST && tries <= std::numeric_limits<std::uint16_t>::max();
         ++tries) {
        group_ = ring_.next_buffer_group();
        returned = provided_ring_.open(kernel_, ring_, group_);
    }
    if (returned < 0) ring_.refused(returned);
    for (std::uint32_t block = base_; block-- > 0;) come_home(static_cast<std::uint16_t>(block));
}

std::vector<std::string> buffer_pool::describe_leases(time_point now) const {
    struct leases {
        std::uint32_t count = 0;
        time_point::rep oldest = time_point::max().time_since_epoch().count();
    };
    std::map<int, leases> by_descriptor;
    for (const header& block : std::span(headers_.get(), made_)) {
        if (!block.leased) continue;
        leases& found = by_descriptor[block.descriptor];
        ++found.count;
        found.oldest = std::min(found.oldest, block.since);
    }
    std::vector<std::string> lines;
    for (const auto& [descriptor, found] : by_descriptor)
        lines.push_back(
            std::to_string(found.count) + " leased buffers with bytes from descriptor " +
            std::to_string(descriptor) + ", the oldest " +
            for_time(now - time_point(time_point::duration(found.oldest))));
    return lines;
}

void buffer_pool::close() noexcept {
    home_.store(this, std::memory_order_relaxed); // no thread is known by that
    if (group_ == group && home_here == &wake_) home_here = nullptr;
    provided_ring_.close(kernel_, ring_, group_);
    bool last = false;
    {
        const std::lock_guard lock(remote_mutex_);
        closed_ = true;
        leased_at_close_ = leased_ - static_cast<std::uint32_t>(remote_.size());
        last = leased_at_close_ == 0;
    }
    if (last) delete this;
}

void buffer_pool::set_home_thread() noexcept {
    home_here = &wake_;
}

inline void buffer_pool::provide(std::uint16_t block) noexcept {
    headers_[block].provided = true;
    provided_ring_.add(memory_.block(block), block_size_, block, 0);
    provided_ring_.advance(1);
    ++provided_;
}

inline void buffer_pool::come_home(std::uint16_t block) noexcept {
    headers_[block].leased = false;
    if (block >= base_) [[unlikely]]
        return come_home_or_retire(block);
    if (provided_ < offered_) {
        provide(block);
        return;
    }
    headers_[block].next = first_free_;
    first_free_ = block;
    ++free_count_;
}

void buffer_pool::come_home_or_retire(std::uint16_t extra) noexcept {
    if (few_are_left()) return provide(extra);
    headers_[extra].next = first_retired_;
    first_retired_ = extra;
    if (--blocks_ == base_) memory_.forget_from(base_);
}

// One more than there were, or `none`.
std::uint16_t buffer_pool::extra_block() noexcept {
    std::uint32_t extra = first_retired_;
    if (extra != none) {
        first_retired_ = headers_[extra].next;
    } else if (made_ < most_blocks_ && memory_.extend(made_ + 1)) {
        extra = made_++;
    } else {
        most_blocks_ = made_; // not to be tried in every turn
        return none;
    }
    ++blocks_;
    headers_[extra].leased = false;
    return static_cast<std::uint16_t>(extra);
}

bool buffer_pool::grow() noexcept {
    if (provided_ >= offered_) return false;
    const std::uint16_t extra = extra_block();
    if (extra == none) return false;
    provide(extra);
    return true;
}

std::uint16_t buffer_pool::take() noexcept {
    const std::uint16_t block = first_free_;
    if (block != none) {
        first_free_ = headers_[block].next;
        --free_count_;
        return block;
    }
    return extra_block();
}

void buffer_pool::refill() noexcept {
    while (provided_ < offered_ && first_free_ != none) {
        const std::uint16_t block = first_free_;
        first_free_ = headers_[block].next;
        --free_count_;
        provide(block);
    }
}

inline void buffer_pool::lease_ended(std::uint16_t block) noexcept {
    if (home_.load(std::memory_order_relaxed) == home_here) [[likely]] {
        --leased_;
        come_home(block);
    } else {
        lease_ended_elsewhere(block);
    }
}

void buffer::give_back() noexcept {
    pool_->lease_ended(block_);
}

void buffer_pool::put_back(std::uint16_t block) noexcept {
    come_home(block);
}

void buffer_pool::lease_ended_elsewhere(std::uint16_t block) noexcept {
    bool last = false;
    {
        const std::lock_guard lock(remote_mutex_);
        if (closed_) {
            last = --leased_at_close_ == 0;
        } else {
            remote_.push_back(block);
            remote_pending_.store(true, std::memory_order_seq_cst);
            wake_.wake(); // under the lock: `closed_` says whether the executor still lives
        }
    }
    if (last) delete this;
}

void buffer_pool::collect_remote_now() noexcept {
    const std::lock_guard lock(remote_mutex_);
    remote_pending_.store(false, std::memory_order_relaxed);
    for (std::uint16_t block : remote_) {
        --leased_;
        come_home(block);
    }
    remote_.clear();
}

void buffer_pool::feed_starved(std::uint64_t work) noexcept {
    ++feedings_;
    const bool idle = std::exchange(work_at_feeding_, work) == work;
    refill();
    for (std::uint32_t fed = 0; !starved_.empty(); ++fed) {
        const bool waited_long = idle || feedings_ - starved_.front().since_ >= patience;
        if (fed >= provided_ && !(waited_long && grow())) return;
        starved_.pop_front().fed();
    }
}

} // namespace chainring
