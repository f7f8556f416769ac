// One thread, one ring, one ready queue. An executor works in turns:
//
//   1. run what was posted, first of all where that has ended a sleep
//   2. fire due timers
//   3. run ready coroutines, up to a budget
//   4. let everything that changed form its SQEs: send queues their batches, receivers their re-arms
//   5. one enter: submit all of it, and sleep if nothing is ready
//   6. reap: each completion makes its coroutine ready; user code never runs meanwhile
//
// Users meet it through runtime::run, executor::post and executor::stats; the rest serves awaitables.
#pragma once

#include <chainring/runtime/audit.hpp>
#include <chainring/runtime/buffer_pool.hpp>
#include <chainring/runtime/cancel_requests.hpp>
#include <chainring/runtime/cancel_scope.hpp>
#include <chainring/runtime/descriptor_set.hpp>
#include <chainring/runtime/direct_descriptors.hpp>
#include <chainring/runtime/disposal.hpp>
#include <chainring/runtime/fork_guard.hpp>
#include <chainring/runtime/inbox.hpp>
#include <chainring/runtime/posted_function.hpp>
#include <chainring/runtime/ready_queue.hpp>
#include <chainring/runtime/registered.hpp>
#include <chainring/runtime/ring.hpp>
#include <chainring/runtime/root_task.hpp>
#include <chainring/runtime/slots.hpp>
#include <chainring/runtime/statistics.hpp>
#include <chainring/runtime/submission_memory.hpp>
#include <chainring/runtime/timer_wheel.hpp>
#include <chainring/runtime/wake_up.hpp>

#include <algorithm>
#include <atomic>
#include <concepts>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <thread>

namespace chainring {

struct executor_options {
    ring_options ring;
    buffer_options buffers;
    // Coroutines resumed in a turn before I/O gets its chance; sixteen awaits that complete at once count as one.
    unsigned budget = 256;
    // Connections that may be accepted into direct descriptors, which are none of the process's; 0: none.
    unsigned direct_descriptors = 0;
};

class embedding;
class runtime;

class executor final {
  public:
    // Throws std::system_error with a text that says what blocks io_uring and what to do about it.
    explicit executor(const executor_options& options = {}, kernel& behind = linux_kernel());
    // Ends every operation and waits for it. On the thread that ran the executor.
    ~executor();
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;

    // The executor whose turn runs on this thread, or nullptr.
    static executor* current() noexcept { return current_; }

    // Its place among those of its runtime (runtime.hpp); 0 and nullptr for one that a program has made itself.
    unsigned number() const noexcept { return number_; }
    runtime* within() const noexcept { return within_; }

    // Runs `root` to its end on the calling thread, which owns the executor from the first call on. Closes
    // that are pending when it ends are completed before run returns. An exception of the task is rethrown. Throws
    // shutdown_overdue where a shutdown has given the task up.
    template <class T> T run(task<T> root);

    // Within another loop on this thread, instead of `run`: the loop calls `pump` when the handle is readable, when
    // `next_deadline` has come, and, without waiting, as long as `pump` returns true.
    //
    // An eventfd. It is the executor's: not to be read, written or closed. Throws std::logic_error on another thread than the
    // executor's, and std::system_error.
    int native_handle();
    // A few turns without a sleep. True: there is more to do at once. Throws std::logic_error on another thread than the
    // executor's, and within a turn.
    bool pump(unsigned most_turns = 8);
    // No later than when the next timer is due, and earlier for one that is far away. Nothing: none is armed.
    std::optional<time_point> next_deadline() const noexcept;
    // For an embedding, which the executor's end stops. Throws std::logic_error if another loop drives it already.
    void attach(embedding& within);
    void detach([[maybe_unused]] embedding& within) noexcept {
        assert(embedding_ == &within);
        embedding_ = nullptr;
    }

    // Runs `work()` on the executor, in a later step; what is posted as `run` ends may run in the executor's destructor,
    // when the task of run is gone. From any thread; never blocks. What it throws ends the program: nobody waits for it.
    template <std::invocable Work>
        requires(!std::derived_from<Work, posted_work>)
    void post(Work work) {
        if (guard_.in_child()) [[unlikely]]
            fork_guard::end_child();
        const bool here = current_ == this;
        posted_work& posted = posted_function<Work>::make(std::move(work), here);
        if (here)
            inbox_.post_here(posted);
        else
            inbox_.post(posted);
    }
    // The same without an allocation: `work` must live until it has run. From signal handlers too.
    void post(posted_work& work) noexcept {
        if (guard_.in_child()) [[unlikely]]
            fork_guard::end_child();
        inbox_.post(work);
    }
    // What was posted by now runs now instead of in the next turn. On the executor's thread, not within its
    // run.
    void run_posts() noexcept;

    // This process was forked from the one that has made it: run, pump and native_handle throw std::logic_error, its turn and
    // what is posted to it end the process with a text, and its destructor leaves alone what belongs to the parent.
    bool forked() const noexcept { return guard_.in_child(); }

    // Cancelling it cancels every task of this executor.
    cancel_scope& root_scope() noexcept { return root_scope_; }

    // For graceful_shutdown, on the executor's thread.
    void stop_intakes() noexcept;
    bool shutting_down() const noexcept { return shutting_down_; }
    // Resets what is connected, and ends `run`. Its task and those of `spawn` are destroyed.
    void give_up() noexcept;
    bool gave_up() const noexcept { return gave_up_; }

    // For a runtime, whose executors end together.

    void belongs_to(runtime& whole, unsigned number) noexcept {
        within_ = &whole;
        number_ = number;
    }
    // Turns until `done`, though the tasks may be given up meanwhile: they are destroyed then.
    void serve_until(const std::function<bool()>& done);
    // From here on it takes no work from other executors (errc::executor_ended).
    void refuse_work() noexcept { refuses_work_ = true; }
    bool refuses_work() const noexcept { return refuses_work_; }
    bool has_tasks() const noexcept { return !roots_.empty(); }
    // Destroys the tasks that nobody awaits where they stand. Neither within a run nor within a task.
    void destroy_tasks();
    // Ends every operation and waits for it, on its own thread; then it may be destroyed on another one. What is posted
    // later waits for `run_last_posts`, on any thread. True: something was there.
    void end() noexcept;
    bool run_last_posts() noexcept;

    // The executor is the current one as long as this lives.
    class on_its_thread;
    // True: it is this thread that runs it, or has run it last.
    bool is_on_this_thread() const noexcept {
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

    statistics stats() const noexcept;

    // For tests and for shutdown, on the executor's thread; both walk everything that is held.
    //
    // The invariants that do not hold, a sentence each: none, or there is a bug in chainring.
    std::vector<std::string> broken_invariants();
    // What is still held: operations in flight, sockets, buffers, tasks that wait; whose it is, and since when.
    std::vector<std::string> holdings_report() const;

    // The tasks of `run`, and what each of them waits for: where in the program, on which descriptor, with which peer,
    // since when, and until when at most. On the executor's thread.
    void dump(std::ostream& to) const;

    // For awaitables, on the executor's thread.

    kernel& behind() noexcept { return kernel_; }
    ring& submissions() noexcept { return ring_; }
    ready_queue& ready() noexcept { return ready_; }
    buffer_pool& buffers() noexcept { return *buffers_; }
    // Blocks of another size, for a socket that needs them. Throws as buffer_pool::open. Every operation that could take
    // one must have ended when the pool is closed; those that are leased then go on.
    buffer_pool& open_pool(const buffer_options& options);
    void close_pool(buffer_pool& further) noexcept;
    direct_table& direct_descriptors() noexcept { return direct_table_; }
    descriptor_set& descriptors() noexcept {
        return descriptors_;
    } // of sockets, until their close is submitted
    timer_wheel& timers() noexcept { return timers_; }
    statistics& counters() noexcept { return counters_; }
    // For what an SQE points to. To be taken once there is room for the SQE, in `prepare` or after make_room: a
    // submission for the sake of room would release it.
    submission_memory& until_submitted() noexcept { return until_submitted_; }
    // The time of this turn: when it was first asked for since the last enter. A post that has ended a sleep does not wait for the clock.
    time_point now() const noexcept {
        if (!knows_now_) [[unlikely]] {
            now_ = kernel_.now();
            knows_now_ = true;
        }
        return now_;
    }

    // Takes an SQE, lets `prepare` fill it, and names the operation. `target` gets its CQEs, the terminal one
    // included.
    template <class Prepare> operation_id submit(completion& target, Prepare&& prepare) {
        io_uring_sqe& sqe = take_sqe();
        prepare(sqe);
        const operation_id id = slots_.acquire(target, sqe.opcode, sqe.fd, now());
        sqe.user_data = id.user_data();
        return id;
    }

    // A linked chain: each of its SQEs, which `prepare(sqe, member)` fills, starts when the one before it has
    // succeeded. All of them are one operation with one CQE: the last member's, or that of the one that failed.
    template <class Prepare>
    operation_id submit_chain(completion& target, unsigned members, Prepare&& prepare) {
        assert(members > 0 && members <= longest_chain());
        make_room(members); // a chain that a submission cuts in two goes to a worker thread, and is overtaken
        operation_id id;
        for (unsigned member = 0; member < members; ++member) {
            io_uring_sqe& sqe = take_sqe();
            prepare(sqe, member);
            if (member == 0) id = slots_.acquire(target, sqe.opcode, sqe.fd, now());
            if (member + 1 < members) sqe.flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
            sqe.user_data = id.user_data_of(member);
        }
        counters_.silent_sqes += members - 1;
        return id;
    }
    unsigned longest_chain() const noexcept { return std::min(ring_.capacity(), operation_id::most_members); }

    // After this `count` SQEs can be taken with no submission in between.
    void make_room(unsigned count) noexcept {
        while (ring_.space_left() < count) [[unlikely]]
            submit_and_reap(no_sleep);
    }

    // Asks for the operation's end; its own CQE tells what became of it. An operation that has ended is no
    // error.
    void request_cancel(operation_id id) noexcept { cancels_.request(id); }
    // The same for a chain: which of its members runs is not known here, and the kernel finds no other.
    void request_cancel(operation_id id, unsigned members) noexcept {
        for (unsigned member = 0; member < members; ++member)
            request_cancel(operation_id(id.user_data_of(member)));
    }

    // Returns when the operation's terminal CQE has been reaped. For memory that dies while the kernel may
    // use it.
    void cancel_and_wait(operation_id id, unsigned members = 1) noexcept;
    bool in_flight(operation_id id) noexcept { return slots_.find(id) != nullptr; }
    // What it does on which descriptor, for people.
    std::string describe(operation_id id) noexcept;

    void at_turn_end(turn_end_work& work) noexcept { turn_end_.push_back(work); }
    // At the end of the turn in which the next close has ended: for who needs what a close gives back.
    void at_close_end(turn_end_work& work) noexcept { close_end_.push_back(work); }
    void add(resource& held) noexcept { resources_.push_back(held); }
    void add(intake& open) noexcept { intakes_.push_back(open); }
    void add(root_task& running) noexcept { roots_.push_back(running); }

    // Another thread works for an operation and will post when it is done: the executor does not end before.
    void post_expected() noexcept { ++posts_expected_; }
    void post_arrived() noexcept { --posts_expected_; } // or withdrawn
    // Takes back intrusive work that was posted and has not run.
    void withdraw(posted_work& work) noexcept { inbox_.withdraw(work); }

    // Closes, at the turn's end, what the kernel has accepted and nobody took. May be called while reaping.
    // The place by reference: a caller asks it in the same argument list whether the file is direct.
    void dispose(file_handle file, direct_place&& place) noexcept { disposal_.begin(file, std::move(place)); }
    // An ordinary descriptor of the same file, or a negative errno: for calls that take no direct one. Waits, so
    // not to be called while reaping.
    int install_descriptor(file_handle direct) noexcept;
    void close_begun() noexcept { ++counters_.pending_closes; }
    void close_ended() noexcept {
        --counters_.pending_closes;
        given_back();
    }
    // Something has come back for which others may wait as for the end of a close.
    void given_back() noexcept { turn_end_.take_all(close_end_); }

  private:
    friend class cancel_requests; // whose SQEs have no slots

    enum sleeping : bool { no_sleep, may_sleep };

    // Submits and reaps until the submission queue has room.
    io_uring_sqe& take_sqe() noexcept {
        if (guard_.in_child()) [[unlikely]]
            fork_guard::end_child();
        for (;;) {
            if (io_uring_sqe* sqe = ring_.next_sqe()) [[likely]]
                return *sqe;
            submit_and_reap(no_sleep);
        }
    }

    void take_ownership(const char* call);
    void end_roots() noexcept;
    void end_overdue_roots() noexcept;
    void give_up_roots(const std::exception_ptr& why) noexcept;
    void run_until(const bool& done);
    void finish_closes();
    template <class Done> void turn_until(Done done);
    void run_what_is_ready();
    bool nothing_to_do() const noexcept;
    template <class Visitor> void for_each_pool(Visitor&& visit) const {
        visit(*buffers_);
        for (buffer_pool* const further : further_pools_) visit(*further);
    }
    bool remote_leases_ended() const noexcept;
    bool prepare_to_sleep() noexcept;
    void embed();
    void doze() noexcept;
    void stop_dozing() noexcept;
    void enter(waiting wait, const duration* timeout) noexcept;
    // True: posts that have ended a sleep have run, and what they made ready is to run before anybody looks whether it is done.
    bool submit_and_reap(sleeping allowed) noexcept;
    void submit_and_wait() noexcept;
    void reap() noexcept;

    kernel& kernel_;
    ring ring_;
    inbox inbox_;
    buffer_pool* buffers_; // lives until its last lease has come home
    std::vector<buffer_pool*> further_pools_;
    slot_table slots_;
    ready_queue ready_;
    mutable time_point now_;
    mutable bool knows_now_ = false;
    timer_wheel timers_;
    submission_memory until_submitted_;
    intrusive_list<turn_end_work, turn_end_tag> turn_end_;
    intrusive_list<turn_end_work, turn_end_tag> close_end_;
    intrusive_list<resource, resource_tag> resources_;
    intrusive_list<intake, intake_tag> intakes_;
    direct_table direct_table_;
    descriptor_set descriptors_;
    cancel_scope root_scope_;
    intrusive_list<root_task, root_tag> roots_; // that run
    statistics counters_;
    unsigned budget_;
    unsigned posts_expected_ = 0;
    cancel_requests cancels_{*this};
    disposal disposal_{*this};
    wake_up wake_up_{*this, inbox_.event()};
    bool enabled_ = false;
    bool embedded_ = false;
    embedding* embedding_ = nullptr;
    bool dozing_ = false; // work makes the handle readable
    bool shutting_down_ = false;
    bool gave_up_ = false;
    bool refuses_work_ = false;
    bool ended_ = false;
    fork_guard guard_;
    runtime* within_ = nullptr;
    unsigned number_ = 0;
    std::atomic<std::thread::id> owner_{};
    std::unique_ptr<resumption_watch> watch_; // nullptr: nobody's

    static constinit thread_local executor* current_;
};

class executor::on_its_thread {
  public:
    explicit on_its_thread(executor& running) noexcept
        : previous_(std::exchange(current_, &running)) {
        running.knows_now_ = false;
        bring_leases_home_to(running);
    }
    ~on_its_thread() {
        current_ = previous_;
        if (previous_ != nullptr) bring_leases_home_to(*previous_);
    }
    on_its_thread(const on_its_thread&) = delete;
    on_its_thread& operator=(const on_its_thread&) = delete;

  private:
    static void bring_leases_home_to(executor& running) noexcept {
        if (!running.ended_) running.buffers_->set_home_thread();
    }

    executor* previous_;
};

inline ready_queue& ready_queue_of(executor& home) noexcept {
    return home.ready();
}

// The one that runs the task or the posted function that asks. Throws std::logic_error for whoever is neither.
executor& this_executor();

template <class T> T executor::run(task<T> root) {
    take_ownership("executor::run");
    // What the task has dropped is closed before run returns, so that descriptors are back at their baseline:
    // also what its frame, ended by a try_, holds to its own end.
    struct closes_at_the_end {
        executor& home;
        ~closes_at_the_end() { home.finish_closes(); }
    } const closing{*this};
    run_task<T> held(root_scope_, root.release());
    roots_.push_back(held);
    ready_.push(held);
    run_until(held.done());
    return held.take_value();
}

} // namespace chainring
