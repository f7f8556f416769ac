// What the tests of net/ share: the two transports, connected pairs, plain sockets as peers, and waits that
// fail instead of hanging.
//
// No co_await within CHECK or REQUIRE: with GCC those macros mention their expression twice, and it would be
// awaited twice.
#pragma once

#include "../function_ref.hpp"
#include "../support.hpp"
#include "plain_socket.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace chainring::test {

// A name that no other socket of this machine has.
inline std::string unique_name() {
    static std::atomic<unsigned> count = 0;
    return "chainring-test-" + std::to_string(::getpid()) + '-' + std::to_string(++count);
}

struct over_tcp {
    using stream = tcp_stream;
    using listener = tcp_listener;
    static constexpr bool tcp = true;
    static endpoint somewhere() { return {"127.0.0.1", 0}; }
};

struct over_unix {
    using stream = unix_stream;
    using listener = unix_listener;
    static constexpr bool tcp = false;
    static endpoint somewhere() { return endpoint::from_abstract_name(unique_name()).value(); }
};

struct over_seqpacket {
    using stream = seqpacket_stream;
    using listener = seqpacket_listener;
    static constexpr bool tcp = false;
    static endpoint somewhere() { return endpoint::from_abstract_name(unique_name()).value(); }
};

// Of byte streams.
#define EACH_TRANSPORT chainring::test::over_tcp, chainring::test::over_unix

// A stream of any kind: what the three are templates for is said at run time.
class any_stream : public local_stream {
  public:
    static inline socket_kind kind{.type = SOCK_STREAM, .internet = true, .local = true};

    using local_stream::local_stream;

    static connect_operation<any_stream>
    connect(const endpoint& to, const socket_options& options = {}) noexcept {
        return {to, options};
    }
    static result<any_stream> adopt(adoptable given, byte_spans received = {}) {
        return adopt_stream<any_stream>(given, received);
    }
};

// The one that a test is at. Most tests of streams are for several, and a template's instances are compiled one by one.
struct over_any {
    using stream = any_stream;
    using listener = chainring::listener<any_stream>;
    static inline bool tcp = true;
    static endpoint somewhere() { return tcp ? over_tcp::somewhere() : over_unix::somewhere(); }

    template <class Over> static void stands_for() {
        tcp = Over::tcp;
        stream::kind.type = Over::stream::kind.type;
    }
    static bool carries_bytes() { return stream::kind.type == SOCK_STREAM; }
};

// A test that runs over each of some.
#define TRANSPORT_TEST_CASE(...) EACH_TEST_CASE(IN_BYTES, __VA_ARGS__)
#define CONNECTION_TEST_CASE(...) EACH_TEST_CASE(OF_ALL_KINDS, __VA_ARGS__)
#define LOCAL_TEST_CASE(...) EACH_TEST_CASE(WITHIN_THE_MACHINE, __VA_ARGS__)

#define IN_BYTES(...) TEST_CASE_OVER(over_tcp, __VA_ARGS__) TEST_CASE_OVER(over_unix, __VA_ARGS__)
#define WITHIN_THE_MACHINE(...)                                                                              \
    TEST_CASE_OVER(over_unix, __VA_ARGS__) TEST_CASE_OVER(over_seqpacket, __VA_ARGS__)
#define OF_ALL_KINDS(...) TEST_CASE_OVER(over_tcp, __VA_ARGS__) WITHIN_THE_MACHINE(__VA_ARGS__)

#define EACH_TEST_CASE(KINDS, ...)                                                                           \
    EACH_TEST_CASE_OF(KINDS, INTERNAL_CATCH_UNIQUE_NAME(over_a_kind), __VA_ARGS__)
#define EACH_TEST_CASE_OF(KINDS, BODY, ...)                                                                  \
    static void BODY();                                                                                      \
    KINDS(BODY, __VA_ARGS__)                                                                                 \
    static void BODY()
#define TEST_CASE_OVER(OVER, BODY, NAME, ...)                                                                \
    TEST_CASE(NAME " - " #OVER __VA_OPT__(, ) __VA_ARGS__) {                                                 \
        chainring::test::over_any::stands_for<chainring::test::OVER>();                                      \
        BODY();                                                                                              \
    }

template <class T> T must(result<T> given) {
    if (!given) FAIL("unexpected error: " << given.error().message());
    if constexpr (!std::is_void_v<T>) return std::move(*given);
}

template <class T> std::error_code error_of(const result<T>& given) {
    return given ? std::error_code() : given.error();
}

// What a task tells the test that spawned it.
struct outcome {
    bool done = false;
    std::error_code error;
};

template <class Listener> task<> accept_one(Listener& from, outcome& told) {
    const auto accepted = co_await from.accept();
    told = {.done = true, .error = error_of(accepted)};
}

// Runs a test's body as a task and checks that nothing of it is left.
inline void on_executor(const executor_options& options, function_ref<task<>> body) {
    kernel_under_test kernel;
    {
        executor home(options, kernel.get());
        home.run(body());
        check_baseline(home);
    }
    if (kernel_under_test::simulation() != nullptr)
        CHECK(kernel_under_test::simulation()->open_descriptors() == 0);
}

inline void on_executor(task_work_mode mode, function_ref<task<>> body) {
    on_executor(options_for(mode), body);
}

// A no-op that goes through the ring: all that was submitted before it has had its chance when it completes.
inline auto one_turn() {
    return uring([](io_uring_sqe& sqe) { io_uring_prep_nop(&sqe); });
}

// Lets the other coroutines of this turn run first.
class pass final : public waiter {
  public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(
        std::coroutine_handle<Promise> caller,
        std::source_location where = std::source_location::current()) noexcept {
        suspend(caller, where);
        executor::current()->ready().push(*this);
    }
    void await_resume() const noexcept {}
    void cancel() noexcept override {}
};

// Resumes at the beginning of the next turn: what the last one reaped is in the ready queue and has not run.
class turn_begin final : private posted_work {
  public:
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller) noexcept {
        caller_ = caller;
        executor::current()->post(*this);
    }
    void await_resume() const noexcept {}

  private:
    void run() noexcept override { caller_.resume(); }
    std::coroutine_handle<> caller_;
};

inline constexpr std::chrono::seconds patience{20}; // never reached unless something is missing

// Lets the executor work until `condition` holds.
inline task<> until(function_ref<bool> condition) {
    const auto limit = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > limit) FAIL("waited too long");
        co_await one_turn();
    }
}

// The same, and goes on before any other coroutine of the turn in which the condition holds.
inline task<> until_at_turn_begin(function_ref<bool> condition) {
    const auto limit = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > limit) FAIL("waited too long");
        co_await turn_begin();
    }
}

// Turns enough for whatever could still happen on this machine's loopback to happen: for tests that say "and
// nothing else".
inline task<> settle() {
    for (int turn = 0; turn < 50; ++turn) co_await one_turn();
}

// Reads a plain peer of this executor until `size` bytes or the end have come.
inline task<std::string> read_plain(const plain_socket& peer, std::size_t size) {
    std::string all;
    bool ended = false;
    co_await until([&] {
        all += peer.read_now(&ended);
        return all.size() >= size || ended;
    });
    co_return all;
}

inline task<std::string> read_plain_to_end(const plain_socket& peer) {
    return read_plain(peer, std::string::npos);
}

template <class Over> struct stream_pair {
    typename Over::stream near;
    typename Over::stream far;
};

// Two connected streams of this executor; both with small socket buffers if `buffers` (bytes) is given.
template <class Over> task<stream_pair<Over>> connected(int buffers = 0) {
    const socket_options options{.send_buffer = buffers, .receive_buffer = buffers};
    auto listener = must(Over::listener::bind(Over::somewhere(), {.socket = options}));
    auto near = must(co_await Over::stream::connect(must(listener.local()), options));
    auto far = must(co_await listener.accept());
    co_return stream_pair<Over>{std::move(near), std::move(far)};
}

template <class Over> struct stream_and_peer {
    typename Over::stream stream;
    plain_socket peer;
};

// A stream of this executor and the plain socket at its other end.
template <class Over> task<stream_and_peer<Over>> connected_to_plain(int buffers = 0) {
    const socket_options options{.send_buffer = buffers, .receive_buffer = buffers};
    auto listener = must(Over::listener::bind(Over::somewhere(), {.socket = options}));
    plain_socket peer = plain_socket::connected_to(must(listener.local()), buffers, Over::stream::kind.type);
    auto stream = must(co_await listener.accept());
    // Connections of a unix listener have options of their own.
    if (buffers != 0) must(stream.set_option(SOL_SOCKET, SO_SNDBUF, buffers));
    co_return stream_and_peer<Over>{std::move(stream), std::move(peer)};
}

// Fills the way from a stream to its plain peer with dots, for good: nothing more fits until the peer reads.
template <class Over> task<std::size_t> congest(stream_and_peer<Over>& pair) {
    std::size_t total = 0;
    for (std::size_t more = 1; more != 0; total += more) {
        more = fill(pair.stream.native_handle());
        co_await settle(); // what is on its way may make room where it came from
    }
    co_return total;
}

// Everything up to the end of the stream.
template <class Stream> task<std::string> receive_to_end(Stream& from) {
    std::string all;
    for (;;) {
        const buffer chunk = must(co_await from.receive());
        if (chunk.empty()) co_return all;
        all += chunk.text();
    }
}

template <class Stream> task<std::string> receive_exactly(Stream& from, std::size_t size) {
    std::string all;
    while (all.size() < size) {
        const buffer chunk = must(co_await from.receive());
        if (chunk.empty()) FAIL("the stream ended after " << all.size() << " of " << size << " bytes");
        all += chunk.text();
    }
    co_return all;
}

template <class Stream> task<> send_all(Stream& to, std::string_view text) {
    const std::size_t sent = must(co_await to.send(text));
    CHECK(sent == text.size());
}

// Sends back what comes, and closes at the end of the stream.
template <class Stream> task<> echo_to_end(Stream peer) {
    for (;;) {
        buffer chunk = must(co_await peer.receive());
        if (chunk.empty()) break;
        must(co_await peer.send(std::move(chunk)));
    }
    must(co_await peer.close());
}

// The next bytes are these.
template <class Stream> task<> expect(Stream& from, std::string text) {
    const std::string got = co_await receive_exactly(from, text.size());
    CHECK(got == text);
}

inline std::string random_text(std::size_t size, std::uint32_t seed) {
    std::minstd_rand random(seed);
    std::string text(size, '\0');
    for (char& each : text) each = static_cast<char>(random());
    return text;
}

} // namespace chainring::test
