// One simulated io_uring: queues in ordinary memory, laid out so that liburing's inline helpers work on them, and
// the requests in flight.
//
// A request is attempted, and either completes or is parked until it is ready. Of the parked requests that are ready, and of
// what is on its way to sockets, the world decides which goes first, and whether anything goes on in this enter at
// all. So each order that independent operations may complete in is one that the simulation takes.
#pragma once

#include <chainring/sim/descriptor_table.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/request.hpp>
#include <chainring/sim/world.hpp>

#include <map>
#include <vector>

namespace chainring::sim {

class simulated_ring {
  public:
    simulated_ring(network& over, descriptor_table& files, io_uring& shown, const ring_options& options);

    // As kernel::enter.
    int enter(unsigned to_submit, const enter_wait& wait);

    // Another call is under way: some of what is ready may complete meanwhile.
    void complete_in_passing() {
        while (world_.chance(world_.knobs().in_passing, "completed in passing") && step()) {
        }
    }

    int register_buffer_ring(const io_uring_buf_reg& registration);
    int unregister_buffer_ring(unsigned group);
    int register_direct_table(unsigned places);
    int register_event(std::shared_ptr<event_file> event);
    // Something can complete, and the program wants to know.
    void signal_if_ready() {
        if (!ready_requests().empty()) signal();
    }
    template <class Visitor> void for_each_direct(const Visitor& visit) const {
        for (const auto& each : direct_)
            if (each != nullptr) visit(*each);
    }
    // The network lets go of all that was sent without a copy.
    void end_notifications() noexcept {
        for (const auto& each : parked_)
            if (each->notifies != nullptr) each->due = true;
    }
    // Its process is gone: all requests end, and all direct descriptors are closed.
    void end_all();
    void forbid_cut_chains() noexcept { cut_chains_forbidden_ = true; }

  private:
    // What the program writes to is its own; these belong to the kernel's side of the queues.
    struct counters {
        unsigned sq_head = 0;
        unsigned sq_tail = 0;
        unsigned sq_flags = 0;
        unsigned sq_dropped = 0;
        unsigned cq_head = 0;
        unsigned cq_tail = 0;
        unsigned cq_flags = 0;
        unsigned cq_overflow = 0;
    };
    struct buffer_ring {
        io_uring_buf_ring* memory;
        unsigned entries;
        std::uint16_t head;

        bool empty() const noexcept { return head == memory->tail; }
        io_uring_buf& front() noexcept { return memory->bufs[head & (entries - 1)]; }
    };
    enum class attempt : bool { parked, ended };

    unsigned completions() const noexcept { return counters_.cq_tail - counters_.cq_head; }
    bool full() const noexcept { return completions() == completions_.size(); }
    void post(std::uint64_t user_data, int result, unsigned flags);
    void signal() noexcept {
        if (event_ != nullptr && (counters_.cq_flags & IORING_CQ_EVENTFD_DISABLED) == 0) event_->signal();
    }
    void flush_overflow();

    unsigned how_many_to_take(unsigned given);
    void let_clock_jump();
    void sleep_until(time_point end);
    void submit(unsigned count);
    // Until as many completions are there, or the timeout has passed. What `enter` returns.
    int run(unsigned takes, const enter_wait& wait);
    // By a worker thread it does nothing at once, and whatever comes meanwhile overtakes it.
    enum class by : bool { itself, worker };
    void start(std::unique_ptr<request> begun, by whom = by::itself);
    std::shared_ptr<file> find(const io_uring_sqe& sqe) const;
    void resume(std::size_t which);
    bool step();
    std::vector<std::size_t> ready_requests();
    bool is_ready(const request& parked) const;

    // Posts the CQE, unless it is to be skipped, and goes on with the chain or ends it.
    attempt end(request& ended, int result, unsigned flags = 0, bool failed = false);
    attempt attempt_once(request& tried);
    // An errno, or 0: it may go on.
    int failure_of(const request& tried, const socket& of);
    attempt send(request& tried, socket& to);
    attempt end_send(request& ended, int result, bool failed = false);
    attempt notify(request& waited);
    attempt receive(request& tried, socket& from);
    attempt receive_message(request& tried, socket& from);
    attempt receive_messages(request& tried, socket& from);
    attempt accept(request& tried, socket& from);
    attempt connect(request& tried, socket& from);
    attempt poll(request& tried, socket& of);
    attempt poll(request& tried, event_file& of);
    attempt read(request& tried, event_file& of);
    attempt cancel(request& tried);
    attempt close(request& tried);
    int close_direct(unsigned place);
    int place_directly(std::shared_ptr<file> accepted);
    void check_close(const std::shared_ptr<file>& closed) const;
    // Ends a multishot operation although it has succeeded, or lets it go on.
    bool posted_last(request& shooting, int result, unsigned flags);
    std::unique_ptr<request> take_out(std::size_t which);
    void end_by_cancel(request& cancelled, int result);

    [[noreturn]] void report_deadlock() const;

    world& world_;
    network& network_;
    descriptor_table& files_;
    counters counters_;
    std::vector<io_uring_sqe> submissions_;
    std::vector<io_uring_cqe> completions_;
    std::vector<io_uring_cqe> overflow_;
    std::shared_ptr<event_file> event_; // that completions signal
    std::map<unsigned, buffer_ring> buffers_;
    std::vector<std::shared_ptr<file>> direct_; // the table of direct descriptors
    bool cut_chains_forbidden_ = false;
    std::vector<std::unique_ptr<request>> parked_;
    std::vector<std::shared_ptr<file>> closed_; // whose end comes before this enter returns
};

} // namespace chainring::sim
