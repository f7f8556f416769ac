// A ring on the simulated kernel, driven by hand, with no runtime above it.
#pragma once

#include "simulation.hpp"

#include <chainring/runtime/ring.hpp>

#include <utility>

namespace chainring::test {

struct completed {
    std::uint64_t user_data;
    int result;
    bool more = false;
    bool notification = false;

    bool operator==(const completed&) const = default;
};

inline constexpr std::uint64_t the_receive = 1000;

class bare_ring {
  public:
    explicit bare_ring(sim::world& within)
        : kernel(within)
        , ring_(kernel, {.submission_entries = 16, .completion_entries = 16}) {
        ring_.enable();
    }

    io_uring_sqe& sqe(std::uint64_t user_data) {
        io_uring_sqe* entry = ring_.next_sqe();
        REQUIRE(entry != nullptr);
        pending_.push_back(entry);
        names_.push_back(user_data);
        return *entry;
    }
    // Submits, and returns what has completed.
    std::vector<completed> run(std::size_t at_least = 0) {
        for (std::size_t at = 0; at < pending_.size(); ++at) pending_[at]->user_data = names_[at];
        pending_.clear();
        names_.clear();
        std::vector<completed> all = std::exchange(kept_, {});
        do {
            ring_.enter(all.size() < at_least ? waiting::for_one : waiting::none, nullptr, counters_);
            ring_.reap(
                [&all](const io_uring_cqe& cqe) {
                    all.push_back(
                        {cqe.user_data, cqe.res, (cqe.flags & IORING_CQE_F_MORE) != 0,
                         (cqe.flags & IORING_CQE_F_NOTIF) != 0});
                },
                counters_);
        } while (all.size() < at_least || ring_.unsubmitted() != 0);
        return all;
    }
    io_uring_sqe& send(std::uint64_t user_data, int to, const std::string& bytes, int flags) {
        io_uring_sqe& entry = sqe(user_data);
        io_uring_prep_send(&entry, to, bytes.data(), bytes.size(), flags);
        return entry;
    }
    // What is there now. Other completions are kept for the next run.
    std::string receive(int from, std::size_t most = 100'000) {
        std::string bytes(most, '\0');
        io_uring_prep_recv(&sqe(the_receive), from, bytes.data(), bytes.size(), MSG_DONTWAIT);
        for (std::optional<int> got; !got;) {
            const std::vector<completed> all = run(kept_.size() + 1);
            for (const completed& each : all) {
                if (each.user_data == the_receive)
                    got = each.result;
                else
                    kept_.push_back(each);
            }
            if (got) bytes.resize(static_cast<std::size_t>(std::max(*got, 0)));
        }
        return bytes;
    }

    io_uring& native() noexcept { return ring_.native(); }

    sim::simulated_kernel kernel;

  private:
    ring ring_;
    statistics counters_;
    std::vector<io_uring_sqe*> pending_;
    std::vector<std::uint64_t> names_;
    std::vector<completed> kept_;
};

} // namespace chainring::test
