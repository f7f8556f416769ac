// What is real and goes past chainring is refused by the name of its call: time, sockets, threads. All else passes, and so does everything
// outside of a world.
#include "environment.hpp"
#include "last_words.hpp"

#include <chainring/sim/real_calls.hpp>
#include <chainring/sim/simulation.hpp>

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

using plain = void (*)();

// Of a program that does it, in the world of seed 7.
std::string refusal_within(plain does) {
    return last_words([does] {
        in_world(7, [does](sim::world&) -> task<> {
            does();
            co_return;
        });
    });
}

void check_refused(plain does, const std::string& what) {
    const std::string text = refusal_within(does);
    CAPTURE(text);
    CHECK(text.contains("seed 7"));
    CHECK(text.contains(what + " inside a simulated world is not repeatable"));
}

bool opens_a_socket() {
    const int opened = ::socket(AF_INET, SOCK_STREAM, 0);
    if (opened >= 0) ::close(opened);
    return opened >= 0;
}

task<> end_by_an_exception(sim::world&) {
    must(co_await chainring::sleep(1ms));
    throw std::runtime_error("on purpose");
}

void run_a_thread() {
    std::thread([] {}).join();
}

volatile std::sig_atomic_t signals_seen = 0;

void see_signal(int) {
    signals_seen = signals_seen + 1;
    (void)::getppid(); // a call from a handler
}

class signal_seen {
  public:
    signal_seen() {
        signals_seen = 0;
        struct sigaction mine{};
        mine.sa_handler = see_signal;
        ::sigaction(SIGUSR1, &mine, &before_);
    }
    ~signal_seen() { ::sigaction(SIGUSR1, &before_, nullptr); }
    signal_seen(const signal_seen&) = delete;
    signal_seen& operator=(const signal_seen&) = delete;

  private:
    struct sigaction before_{};
};

void set_blocked(int how, int signal) {
    sigset_t only;
    ::sigemptyset(&only);
    ::sigaddset(&only, signal);
    ::pthread_sigmask(how, &only, nullptr);
}

void need_refusals() {
    if (!sim::no_real_calls::possible()) SKIP("this Linux sends no calls back");
}

} // namespace

TEST_CASE("real_time_in_a_simulated_world_is_refused_by_name", "[real]") {
    need_refusals();
    check_refused([] { std::this_thread::sleep_for(1ms); }, "real time (clock_nanosleep)");
    check_refused(
        [] {
            std::mutex one;
            std::condition_variable never;
            std::unique_lock held(one);
            never.wait_for(held, 1ms);
        },
        "real time (futex)");
    check_refused([] { ::timerfd_create(CLOCK_MONOTONIC, 0); }, "real time (timerfd_create)");
    check_refused([] { ::alarm(100); }, "real time (alarm)");
    check_refused([] { (void)std::clock(); }, "real time (clock_gettime)");
    check_refused(
        [] {
            rusage used{};
            ::getrusage(RUSAGE_SELF, &used);
        },
        "real time (getrusage)");
    const std::string text = last_words([] {
        const int early = ::timerfd_create(CLOCK_MONOTONIC, 0);
        in_world(7, [early](sim::world&) -> task<> {
            const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1}};
            ::timerfd_settime(early, 0, &soon, nullptr);
            co_return;
        });
    });
    CHECK(text.contains("real time (timerfd_settime) inside a simulated world"));
}

TEST_CASE("real_sockets_in_a_simulated_world_are_refused_by_name", "[real]") {
    need_refusals();
    check_refused([] { (void)opens_a_socket(); }, "a real socket (socket)");
    check_refused(
        [] {
            int both[2];
            (void)::socketpair(AF_UNIX, SOCK_STREAM, 0, both);
        },
        "a real socket (socketpair)");
    check_refused(
        [] {
            const sockaddr_in nowhere{};
            ::connect(0, reinterpret_cast<const sockaddr*>(&nowhere), sizeof(nowhere));
        },
        "a real socket (connect)");
}

TEST_CASE("a_socket_from_before_a_simulated_world_is_refused_in_it_where_a_pipe_is_not", "[real]") {
    need_refusals();
    using pair = int[2];
    const auto within = [](void (*does)(const pair&)) {
        return last_words([does] {
            pair sockets;
            pair pipes;
            if (::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0 || ::pipe(pipes) != 0) return;
            in_world(7, [&](sim::world&) -> task<> {
                char byte = 'x';
                if (::write(pipes[1], &byte, 1) == 1 && ::read(pipes[0], &byte, 1) == 1) does(sockets);
                co_return;
            });
        });
    };
    const std::string written = within([](const pair& sockets) { (void)!::write(sockets[1], "x", 1); });
    CHECK(written.contains("a real socket (write) inside a simulated world is not repeatable"));
    const std::string read = within([](const pair& sockets) {
        char byte = 0;
        iovec into{.iov_base = &byte, .iov_len = 1};
        (void)!::readv(sockets[0], &into, 1);
    });
    CHECK(read.contains("a real socket (readv) inside a simulated world is not repeatable"));
}

TEST_CASE("a_wait_for_real_descriptors_in_a_simulated_world_is_refused_by_name", "[real]") {
    need_refusals();
    check_refused([] { ::poll(nullptr, 0, 1); }, "a wait for real descriptors (poll)");
    check_refused([] { ::epoll_create1(0); }, "a wait for real descriptors (epoll_create1)");
    const std::string text = last_words([] {
        executor early;
        sim::world world(7);
        sim::simulated_kernel kernel(world);
        early.run([]() -> task<> { co_return; }());
    });
    CAPTURE(text);
    CHECK(text.contains("an io_uring of Linux (io_uring_"));
}

TEST_CASE("threads_and_processes_in_a_simulated_world_are_refused_by_name", "[real]") {
    need_refusals();
    check_refused(run_a_thread, "a thread (clone3)");
    check_refused([] { (void)!::system("true"); }, "a process (clone3)");
}

TEST_CASE("a_process_that_would_end_in_a_simulated_world_as_if_all_were_well_is_refused_by_name", "[real]") {
    need_refusals();
    for (const plain ends : {+[] { ::_exit(0); }, +[] { std::quick_exit(0); }}) {
        const std::string text = refusal_within(ends);
        CAPTURE(text);
        CHECK(text.contains(
            "the end of the process (exit_group) inside a simulated world does not end its test"));
    }
    check_refused([] { ::execl("/bin/true", "true", nullptr); }, "a process (execve)");
}

TEST_CASE("a_process_that_ends_by_a_failure_in_a_simulated_world_says_how_to_repeat_it", "[real]") {
    need_refusals();
    const no_variables clean;
    const ending found = ending_of([] {
        sim::each_seed(10, [](sim::world& world) {
            if (world.seed() == 3) ::_exit(5);
        });
    });
    CAPTURE(found.text);
    REQUIRE(WIFEXITED(found.status));
    CHECK(WEXITSTATUS(found.status) == 5);
    CHECK(found.text.contains("repeat it:  CHAINRING_SIM_SEED=3 "));
}

TEST_CASE(
    "what_a_test_does_itself_within_its_world_is_refused_as_well_with_the_line_that_repeats_it", "[real]") {
    need_refusals();
    const no_variables clean;
    const ending found = ending_of([] {
        ::_exit(sim::run_seeds(10, [](sim::world& world) {
            if (world.seed() == 3) std::this_thread::sleep_for(1ms);
        }));
    });
    CAPTURE(found.text);
    REQUIRE(WIFEXITED(found.status));
    CHECK(WEXITSTATUS(found.status) == 1);
    CHECK(found.text.contains("simulation with seed 3"));
    CHECK(found.text.contains("real time (clock_nanosleep)"));
    CHECK(found.text.contains("\nrepeat it:  CHAINRING_SIM_SEED=3 '/"));
}

TEST_CASE("other_calls_in_a_simulated_world_do_what_they_always_do", "[real]") {
    sim::world world(7);
    const sim::simulated_kernel kernel(world);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    CHECK(::write(ends[1], "word", 4) == 4);
    char read[8];
    CHECK(::read(ends[0], read, sizeof(read)) == 4);
    pollfd ready{.fd = ends[0], .events = POLLIN, .revents = 0};
    CHECK(::poll(&ready, 1, 0) == 0); // does not wait
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK(::read(-1, read, sizeof(read)) == -1);
    CHECK(errno == EBADF);
}

TEST_CASE("a_fork_in_a_simulated_world_leaves_it", "[real]") {
    sim::world world(7);
    const sim::simulated_kernel kernel(world);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(opens_a_socket() ? 0 : 1);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("signals_in_a_simulated_world_are_handled_and_blocked_as_always", "[real]") {
    const signal_seen handled;
    sim::world world(7);
    const sim::simulated_kernel kernel(world);
    ::raise(SIGUSR1);
    CHECK(signals_seen == 1);
    set_blocked(SIG_BLOCK, SIGUSR1);
    ::raise(SIGUSR1);
    CHECK(signals_seen == 1);
    (void)::getppid();
    CHECK(signals_seen == 1);
    set_blocked(SIG_UNBLOCK, SIGUSR1);
    CHECK(signals_seen == 2);
}

TEST_CASE("the_alternate_stack_that_is_set_in_a_simulated_world_is_kept", "[real]") {
    stack_t before{};
    ::sigaltstack(nullptr, &before);
    {
        sim::world world(7);
        const sim::simulated_kernel kernel(world);
        static std::byte memory[65'536];
        const stack_t mine{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof(memory)};
        CHECK(::sigaltstack(&mine, nullptr) == 0);
        stack_t now{};
        ::sigaltstack(nullptr, &now);
        CHECK(now.ss_sp == memory);
    }
    ::sigaltstack(&before, nullptr);
}

// As of pthread_create, which blocks all signals while it makes its call.
TEST_CASE("a_thread_that_has_blocked_all_signals_hears_of_what_is_refused_too", "[real]") {
    need_refusals();
    const auto sleep_with_all_blocked = [] {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
        in_world(7, [&all](sim::world&) -> task<> {
            ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
            std::this_thread::sleep_for(1ms);
            co_return;
        });
    };
    const std::string text = last_words(sleep_with_all_blocked);
    CAPTURE(text);
    CHECK(text.contains("real time (clock_nanosleep)"));
}

TEST_CASE("outside_of_a_simulated_world_everything_is_as_before", "[real]") {
    {
        sim::world world(7);
        const sim::simulated_kernel kernel(world);
    }
    CHECK(opens_a_socket());
    run_a_thread();
    CHECK_THROWS_AS(in_world(7, end_by_an_exception), std::runtime_error);
    CHECK(opens_a_socket());
    run_a_thread();
}

TEST_CASE("behind_a_world_within_a_world_the_outer_one_refuses_again", "[real]") {
    need_refusals();
    const std::string text = last_words([] {
        sim::world outer(7);
        const sim::simulated_kernel kernel(outer);
        in_world(8, [](sim::world&) -> task<> { co_return; });
        run_a_thread();
    });
    CAPTURE(text);
    CHECK(text.contains("simulation with seed 7"));
    CHECK(text.contains("a thread (clone3)"));
}

TEST_CASE("a_thread_beside_a_simulated_world_makes_its_calls", "[real]") {
    std::latch begun(1);
    std::latch made(1);
    bool opened = false;
    std::thread beside([&] {
        begun.wait();
        opened = opens_a_socket();
        std::thread([] {}).join();
        made.count_down();
    });
    in_world(7, [&](sim::world&) -> task<> {
        begun.count_down();
        made.wait();
        co_return;
    });
    beside.join();
    CHECK(opened);
}

TEST_CASE("a_test_may_allow_itself_real_calls_for_a_while", "[real]") {
    need_refusals();
    const std::string text = last_words([] {
        sim::world world(7);
        const sim::simulated_kernel kernel(world);
        {
            const sim::allow_real_calls logging;
            if (!opens_a_socket()) return;
            run_a_thread();
            const sim::allow_real_calls more;
        }
        (void)opens_a_socket();
    });
    CAPTURE(text);
    CHECK(text.contains("a real socket (socket)"));
}
