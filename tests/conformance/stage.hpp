// Where a script is performed: a ring and sockets on one kernel. What it sees there becomes an outcome, a text that is the
// same for all that is the same to a program.
//
// An outcome has a line for each completion, in their order: the step, its result, what it received. After the last step
// what has not ended is cancelled, so an operation that had to stay in flight says ECANCELED; these come in the order of
// the text, as the script has asked for no other. The results of calls follow, and what each end receives until its end.
#pragma once

#include "script.hpp"

#include <chainring/runtime/ring.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace chainring::test::conformance {

struct connected_ends {
    int near = -1;
    int far = -1;
};

class stage {
  public:
    stage(kernel& on, task_work_mode mode);
    virtual ~stage() = default;
    stage(const stage&) = delete;
    stage& operator=(const stage&) = delete;

    std::string perform(const script& performed);

  protected:
    virtual connected_ends connect_ends(transport over) = 0;
    // The sockets are there, and the script begins.
    virtual void begin() {}
    // The stage does something of its own, at which nothing needs to go wrong.
    virtual void pause() {}
    // What has completed by now, in the order of its completion.
    virtual void completed(const std::string&) {}

  private:
    struct operation {
        bool in_flight = false;
        bool is_last = true;   // of its chain
        std::size_t chain = 0; // the step that begins its chain
        bool chain_failed_aloud = false;
        bool notifies = false; // its result is known, and the memory is still in use
        std::string memory;    // to send from, or to receive into
        std::vector<struct iovec> pieces;
        struct msghdr header{};
    };

    void open_sockets();
    void open_listener();
    void close_sockets();
    void perform_step(std::size_t number);
    void prepare(std::size_t number, io_uring_sqe& entry);
    void take(const io_uring_cqe& cqe);
    void chain_has_ended(std::size_t of);
    std::string received(const step& by, const io_uring_cqe& cqe, const operation& of) const;
    std::string letters(const std::string& bytes) const;
    std::string result_of(const step& by, int result, std::size_t wanted) const;

    io_uring_sqe& next_sqe();
    void submit();
    // Lets happen what can, until `done` or until nothing has happened for long.
    template <class Done> bool wait_until(Done done);
    // An operation of the stage itself, whose completion is no part of the outcome.
    int own(std::uint64_t user_data, io_uring_sqe& entry);
    int receive_now(int descriptor, int flags);
    int hear(place at, int flags);
    std::string all_heard(place at) const;

    void cancel_what_is_left();
    void hear_what_is_left();
    void lend_buffers();
    void called(const std::string& text) { calls_ += text + '\n'; }

    kernel& kernel_;
    ring ring_;
    statistics counters_;
    const script* script_ = nullptr;
    int sockets_[places] = {-1, -1, -1, -1};
    std::vector<int> accepted_;
    std::vector<operation> operations_;
    std::map<std::uint64_t, int> own_results_;
    std::string own_memory_;
    std::string buffers_;           // the memory of what is provided
    std::vector<char> buffer_ring_; // and the ring that provides it
    std::string completions_;
    bool cancelling_ = false;
    std::multiset<std::string> last_completions_; // in no order, as the script asks for none
    std::string calls_;
    std::vector<std::string> heard_[2]; // by steps that drain, and at the end
    std::string ends_[2];               // what came instead of bytes
};

} // namespace chainring::test::conformance
