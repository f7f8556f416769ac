// What is said of a kernel's ways with provided buffers: of this one, and of one that gets them wrong.
#include "forwarding_kernel.hpp"
#include "support.hpp"

#include <chainring/runtime/buffer_trials.hpp>
#include <chainring/runtime/capabilities.hpp>

#include <algorithm>
#include <cstdint>

using namespace chainring;
using namespace chainring::test;
using enum trial_outcome;

namespace {

// Gets wrong what it is told to.
class erring_kernel final : public forwarding_kernel {
  public:
    bool exchanges_buffers = false; // the first two of a ring, before each operation
    bool leaves_out_trunc = false;  // MSG_TRUNC
    bool has_no_memory = false;
    int (*says)(int result) = [](int result) { return result; };

    int open_ring(io_uring& ring, const ring_options& options) noexcept override {
        return has_no_memory ? -ENOMEM : forwarding_kernel::open_ring(ring, options);
    }
    int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept override {
        buffers_ = reinterpret_cast<io_uring_buf_ring*>(registration.ring_addr);
        return forwarding_kernel::register_buffer_ring(ring, registration);
    }
    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        if (to_submit != 0 && exchanges_buffers) {
            io_uring_buf& first = buffers_->bufs[0];
            io_uring_buf& second = buffers_->bufs[1];
            std::swap(first.addr, second.addr);
            std::swap(first.len, second.len);
            std::swap(first.bid, second.bid);
        }
        if (leaves_out_trunc)
            for (unsigned at = *ring.sq.khead; at != *ring.sq.ktail; ++at)
                ring.sq.sqes[at & ring.sq.ring_mask].msg_flags &= ~static_cast<unsigned>(MSG_TRUNC);
        const unsigned before = io_uring_cq_ready(&ring);
        const int returned = forwarding_kernel::enter(ring, to_submit, wait, flags);
        if (before == 0 && io_uring_cq_ready(&ring) != 0) {
            io_uring_cqe& done = ring.cq.cqes[*ring.cq.khead & ring.cq.ring_mask];
            done.res = says(done.res);
        }
        return returned;
    }

  private:
    io_uring_buf_ring* buffers_ = nullptr;
};

// What a trial says of a kernel that has it and does what it should.
trial_outcome right_if(bool there) {
    return there ? right : not_there;
}

const capabilities& this_kernel() {
    static const capabilities found = probe_capabilities().value();
    return found;
}

} // namespace

TEST_CASE("this_kernel_sends_and_receives_bundles_in_order", "[linux]") {
    CHECK(try_send_bundle(linux_kernel()) == right_if(this_kernel().recvsend_bundle));
    CHECK(linux_kernel().sends_bundles() == this_kernel().recvsend_bundle);
    // Those from 6.13.11 to 6.14.8 do not (L#1409).
    CHECK(try_receive_bundle(linux_kernel()) == right_if(this_kernel().recvsend_bundle));
}

TEST_CASE("this_kernel_fills_a_buffer_by_several_receives_of_a_stream", "[linux]") {
    CHECK(try_incremental_stream(linux_kernel()) == right_if(this_kernel().incremental_buffer_ring));
}

// Linux 6.18 counts what was cut off as well (L#1619).
TEST_CASE("incremental_buffers_of_datagrams_are_right_where_what_was_cut_off_does_not_count", "[linux]") {
    const trial_outcome of_this = try_incremental_datagrams(linux_kernel());
    CHECK((of_this == right || of_this == wrong) == this_kernel().incremental_buffer_ring);
    if (of_this == not_there) return;
    // The same with the size told by somebody else.
    erring_kernel counting;
    counting.leaves_out_trunc = true;
    counting.says = [](int result) { return result == 100 ? 150 : result; };
    CHECK(try_incremental_datagrams(counting) == right);
}

TEST_CASE("a_kernel_that_mixes_up_buffers_is_found_out", "[linux]") {
    if (!this_kernel().recvsend_bundle) return;
    erring_kernel mixing;
    mixing.exchanges_buffers = true;
    CHECK(try_send_bundle(mixing) == wrong);
    CHECK(try_receive_bundle(mixing) == wrong);
}

TEST_CASE("a_kernel_that_says_another_size_is_found_out", "[linux]") {
    if (!this_kernel().recvsend_bundle) return;
    erring_kernel forgetting;
    forgetting.says = [](int result) { return result - 1; };
    CHECK(try_send_bundle(forgetting) == wrong);
    CHECK(try_receive_bundle(forgetting) == wrong);
    CHECK(try_incremental_stream(forgetting) != right);
    CHECK(try_incremental_datagrams(forgetting) != right);
}

// As if the second buffer, of which a part was filled, had been followed by the third in the same bundle.
TEST_CASE("a_bundle_with_a_hole_is_found_out", "[linux]") {
    if (!this_kernel().recvsend_bundle) return;
    erring_kernel leaving_holes;
    leaving_holes.says = [](int result) { return result == 100 ? 164 : result; };
    CHECK(try_receive_bundle(leaving_holes) == wrong);
}

TEST_CASE("without_memory_for_a_ring_nothing_is_said_of_a_kernel") {
    erring_kernel full;
    full.has_no_memory = true;
    for (const buffer_trial& each : buffer_trials()) CHECK(each.run(full) == not_tried);
}
