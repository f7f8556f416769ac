// What a batch is to the kernel: at most one in flight on a socket, and a chain that ends before its submission does.
#include "../runtime/forwarding_kernel.hpp"
#include "sockets.hpp"

#include <map>

using namespace chainring;
using namespace chainring::test;

namespace {

// Looks at every SQE on its way to the kernel, and at every CQE on its way back.
class watching_kernel final : public forwarding_kernel {
  public:
    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        look_at_completions(ring);
        const unsigned tail = *ring.sq.ktail;
        bool linked = false;
        for (unsigned at = tail - to_submit; at != tail; ++at)
            linked = look_at(ring.sq.sqes[at & ring.sq.ring_mask], linked);
        chains_cut += linked ? 1 : 0;
        return forwarding_kernel::enter(ring, to_submit, wait, flags);
    }

    unsigned batches = 0;
    unsigned second_batches = 0; // on a socket that had one in flight
    unsigned chains = 0;
    unsigned chains_cut = 0; // by the end of a submission

  private:
    // All members of a chain have it.
    static std::uint64_t batch_of(std::uint64_t user_data) {
        const operation_id member(user_data);
        return operation_id(member.index(), member.generation()).user_data();
    }

    void look_at_completions(io_uring& ring) {
        const unsigned tail = io_uring_smp_load_acquire(ring.cq.ktail);
        for (; seen_ != tail; ++seen_) {
            const io_uring_cqe& cqe = ring.cq.cqes[seen_ & ring.cq.ring_mask];
            if ((cqe.flags & IORING_CQE_F_MORE) != 0) continue;
            std::erase_if(
                in_flight_, [&](const auto& each) { return each.second == batch_of(cqe.user_data); });
        }
    }

    // Is another one linked to it?
    bool look_at(const io_uring_sqe& sqe, bool in_chain) {
        const bool links = (sqe.flags & IOSQE_IO_LINK) != 0;
        if (links && !in_chain) ++chains;
        if (sqe.opcode != IORING_OP_SEND && sqe.opcode != IORING_OP_SENDMSG) return links;
        const std::uint64_t batch = batch_of(sqe.user_data);
        const auto [found, is_first] = in_flight_.try_emplace(sqe.fd, batch);
        batches += is_first ? 1 : 0;
        // An enter that took nothing is repeated with the same SQEs.
        second_batches += found->second != batch ? 1 : 0;
        return links;
    }

    std::map<int, std::uint64_t> in_flight_; // batches, by the descriptor
    unsigned seen_ = 0;
};

template <class Stream> task<> send_some(Stream& to, int number, std::size_t longest) {
    for (int count = 0; count < 40; ++count) {
        const std::size_t size = 1 + static_cast<std::size_t>(number * 131 + count * 977) % longest;
        const auto sent = co_await to.send(std::string(size, 'x'));
        if (!sent) co_return; // somebody's cancellation has cut the stream off
    }
}

template <class Over> task<> send_and_cancel(send_path path, std::size_t longest) {
    auto pair = co_await connected<Over>(4096);
    if (!pair.near.set_send_path(path)) co_return;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](auto& from) -> task<> {
            for (;;) {
                const auto chunk = co_await from.receive();
                if (!chunk || chunk->empty()) co_return;
            }
        }(pair.far));
        co_await scope([&](task_group& senders) -> task<> {
            for (int number = 0; number < 8; ++number) senders.spawn(send_some(pair.near, number, longest));
            co_return;
        });
        co_await scope([&](task_group& cancelled) -> task<> {
            for (int number = 0; number < 8; ++number) cancelled.spawn(send_some(pair.near, number, longest));
            co_await settle();
            cancelled.cancel();
        });
        (void)co_await pair.near.close();
    });
}

} // namespace

CONNECTION_TEST_CASE("a_socket_has_one_batch_in_flight_and_no_submission_cuts_a_chain", "[linux]") {
    const bool records = !over_any::carries_bytes();
    const send_path path = GENERATE(send_path::gathered, send_path::chained);
    if (records && path == send_path::gathered) return;
    const std::size_t longest = records ? 1500 : GENERATE(3'000, 160'000);
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = GENERATE(2U, 8U, 256U);
    watching_kernel kernel;
    executor home(options, kernel);
    home.run(send_and_cancel<over_any>(path, longest));
    check_baseline(home);
    CHECK(kernel.batches > 40);
    if (records || path == send_path::chained || longest > 150'000) CHECK(kernel.chains > 0);
    CHECK(kernel.second_batches == 0);
    CHECK(kernel.chains_cut == 0);
}
