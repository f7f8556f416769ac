// Linux as chainring sees it, simulated in ordinary memory: what it does is drawn from the seed of a world, and
// happens in that world's virtual time.
//
// For one thread. It must outlive the executors that run on it. What the simulation lacks it refuses by name, and
// aborts: a test that went on would say nothing. So it does with what is not repeatable: calls and posts of other threads, blocking
// work, signals, an executor on Linux beside it.
#pragma once

#include <chainring/sim/descriptor_table.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/real_calls.hpp>
#include <chainring/sim/simulated_ring.hpp>
#include <chainring/sim/world.hpp>

#include <map>
#include <memory>
#include <thread>

namespace chainring::sim {

class simulated_kernel final : public kernel {
  public:
    // Of a world's only machine.
    explicit simulated_kernel(world& within);
    // Of one among others; `host` is its address, a numeric one. All must outlive their sockets' peers.
    simulated_kernel(network& over, const std::string& host);

    // As setrlimit(2) with RLIMIT_NOFILE: how many descriptors may be open.
    void limit_descriptors(std::size_t most) noexcept { files_.set_most_open(most); }
    std::size_t open_descriptors() const noexcept { return files_.open(); }

    // Linux allows it, and then sends no end and ends nothing: the world fails when a program does that.
    void forbid_close_in_flight() noexcept { files_.forbid_close_in_flight(); }
    // Nor a submission that ends in the middle of a chain, which what follows may overtake.
    void forbid_cut_chains() noexcept { cut_chains_forbidden_ = true; }

    network& traffic() noexcept { return network_; }

    // Two connected sockets, as socketpair(2) makes them; for tests of what the kernel does.
    struct pair {
        int near;
        int far;
    };
    pair connected_pair(int family, int type);

    // A program that has ended waits for no peer to read what it has sent without a copy.
    void end_notifications() noexcept;
    // The program is gone. Its sockets are closed, or `silently` end without their peers' hearing of it, and whatever it waits
    // for has been cancelled: then its executor can be destroyed.
    void end_process(bool silently);

    // For a loop around executors, in place of poll(2): whether the event has been signalled. What can complete by now signals that
    // of its ring.
    bool signalled(int event);

    // What programs do without a ring, and without waiting: for the peers of what is tested. A value >= 0 or a negative errno.
    int accept(int descriptor);
    int send(int descriptor, const void* bytes, std::size_t size);
    int receive(int descriptor, void* target, std::size_t size);

    int open_ring(io_uring& ring, const ring_options& options) noexcept override;
    int enable_ring(io_uring& ring) noexcept override;
    void leave_ring(io_uring&) noexcept override {}
    void close_ring(io_uring& ring) noexcept override;
    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override;
    int register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept override;
    int unregister_buffer_ring(io_uring& ring, unsigned group) noexcept override;
    bool sends_bundles() noexcept override { return true; }
    int register_direct_table(io_uring& ring, unsigned places) noexcept override;

    int register_event(io_uring& ring, int event) noexcept override;

    int open_socket(int family, int type, int protocol) noexcept override;
    int bind(int descriptor, const sockaddr* at, socklen_t length) noexcept override;
    int listen(int descriptor, int backlog) noexcept override;
    int connect(int descriptor, const sockaddr* to, socklen_t length) noexcept override;
    int shutdown(int descriptor, int how) noexcept override;
    int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept override;
    int get_option(int descriptor, int level, int name, void* value, socklen_t& length) noexcept override;
    int local_address(int descriptor, sockaddr* to, socklen_t& length) noexcept override;
    int peer_address(int descriptor, sockaddr* to, socklen_t& length) noexcept override;
    int unread(int descriptor) noexcept override;
    int close_on_exec(int descriptor) noexcept override;
    int close(int descriptor) noexcept override;
    file_identity identify_file(const char* path) noexcept override;
    int remove_file(const char* path) noexcept override;
    int open_event() noexcept override;
    void signal_event(int descriptor) noexcept override;
    void drain_event(int descriptor) noexcept override;

    time_point now() noexcept override { return world_.now(); }
    std::string explain_refusal(int error) override;

    void about_to_post() noexcept override { check_thread("a post"); }
    void about_to_leave(const char* what) noexcept override;
    void about_to_be_late(time_point past) noexcept override;

    std::unique_ptr<resumption_watch> watch_resumptions(executor& home) override;

  private:
    explicit simulated_kernel(std::unique_ptr<network> own);
    simulated_kernel(network& over, const machine& on);
    void check_thread(const char* call) const;
    template <class Call> int on_socket(int descriptor, Call&& call);

    world& world_;
    std::unique_ptr<network> own_;
    network& network_;
    const machine& machine_;
    descriptor_table files_;
    bool cut_chains_forbidden_ = false;
    bool process_ended_ = false; // what destructors call is not heard any more
    std::map<const io_uring*, std::unique_ptr<simulated_ring>> rings_;
    std::thread::id thread_;
    keeps_off_linux all_else_ends_here_{*this};
    no_real_calls nor_past_chainring_{world_};
};

} // namespace chainring::sim
