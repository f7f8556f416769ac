#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/uring.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

TEST_CASE("a_hand_made_operation_yields_the_result_of_its_cqe", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([]() -> task<> {
        const result<int> done = co_await no_operation();
        CHECK(done == 0);
        const result<int> failed =
            co_await uring([](io_uring_sqe& sqe) { io_uring_prep_fsync(&sqe, -1, 0); });
        CHECK(failed == failure(from_errno(EBADF)));
    }());
    check_baseline(used);
}

TEST_CASE("a_file_can_be_opened_written_read_and_closed", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const std::size_t before = open_descriptors();
    std::FILE* const temporary = std::tmpfile();
    REQUIRE(temporary != nullptr);
    const std::string path = "/proc/self/fd/" + std::to_string(::fileno(temporary));
    used.run([](const char* name) -> task<> {
        const result<int> file = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_openat(&sqe, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0); });
        REQUIRE(file.has_value());
        const result<int> written = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_write(&sqe, *file, "fifteen letters", 15, 0); });
        CHECK(written == 15);
        std::array<char, 64> memory{};
        const result<int> read = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_read(&sqe, *file, memory.data(), memory.size(), 0); });
        CHECK(read == 15);
        CHECK(std::string_view(memory.data()) == "fifteen letters");
        const result<int> synced =
            co_await uring([&](io_uring_sqe& sqe) { io_uring_prep_fsync(&sqe, *file, 0); });
        CHECK(synced == 0);
        const result<int> closed =
            co_await uring([&](io_uring_sqe& sqe) { io_uring_prep_close(&sqe, *file); });
        CHECK(closed == 0);
    }(path.c_str()));
    std::fclose(temporary);
    CHECK(open_descriptors() == before);
    check_baseline(used);
}

TEST_CASE("flags_that_the_executor_cannot_account_for_are_refused_and_nothing_is_done") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    pipe.write("data");
    const unsigned flag = GENERATE(
        IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_CQE_SKIP_SUCCESS, IOSQE_BUFFER_SELECT, IOSQE_IO_DRAIN);
    CAPTURE(flag);
    used.run([](pipe_ends& from, unsigned flag_) -> task<> {
        std::array<char, 16> memory{};
        const result<int> outcome = co_await uring([&](io_uring_sqe& sqe) {
            prepare_read(sqe, from.reading(), memory.data(), memory.size());
            sqe.flags |= static_cast<unsigned char>(flag_);
            sqe.rw_flags = 0xff; // of the refused operation, and no business of whatever takes its place
        });
        CHECK(outcome == failure(errc::unsupported_sqe_flag));
        const result<int> next = co_await no_operation();
        CHECK(next == 0);
    }(pipe, flag));
    CHECK(pipe.left() == "data");
    check_baseline(used);
}

TEST_CASE("a_multishot_operation_is_refused_because_it_is_awaited_once") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    pipe.write("data"); // a poll of it would have a CQE at once
    used.run([](pipe_ends& from) -> task<> {
        const int descriptor = from.reading();
        __kernel_timespec soon{};
        const result<int> polled = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_poll_multishot(&sqe, descriptor, POLLIN); });
        const result<int> accepted = co_await uring([&](io_uring_sqe& sqe) {
            io_uring_prep_multishot_accept(&sqe, descriptor, nullptr, nullptr, 0);
        });
        const result<int> received = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_recv_multishot(&sqe, descriptor, nullptr, 0, 0); });
        const result<int> read = co_await uring([&](io_uring_sqe& sqe) {
            io_uring_prep_nop(&sqe);
            sqe.opcode = IORING_OP_READ_MULTISHOT;
        });
        const result<int> waited = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_timeout(&sqe, &soon, 0, IORING_TIMEOUT_MULTISHOT); });
        for (const result<int>& outcome : {polled, accepted, received, read, waited})
            CHECK(outcome == failure(errc::unsupported_sqe_flag));
    }(pipe));
    check_baseline(used);
}

TEST_CASE("forcing_an_operation_to_a_worker_thread_is_allowed", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    pipe.write("data");
    used.run([](pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        const result<int> read = co_await uring([&](io_uring_sqe& sqe) {
            prepare_read(sqe, from.reading(), memory.data(), memory.size());
            sqe.flags |= IOSQE_ASYNC;
        });
        CHECK(read == 4);
    }(pipe));
    check_baseline(used);
}

TEST_CASE("an_exception_while_the_sqe_is_prepared_is_thrown_by_the_await_and_nothing_is_done") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& to) -> task<> {
        for (int i = 0; i < 3; ++i) {
            bool thrown = false;
            try {
                (void)co_await uring([&](io_uring_sqe& sqe) {
                    io_uring_prep_write(&sqe, to.writing(), "bytes", 5, 0);
                    throw std::runtime_error("not prepared");
                });
            } catch (const std::runtime_error&) {
                thrown = true;
            }
            CHECK(thrown);
            CHECK(home.stats().operations_in_flight == 0);
            const result<int> next = co_await no_operation();
            CHECK(next == 0);
        }
    }(used, pipe));
    CHECK(pipe.left().empty());
    check_baseline(used);
}

TEST_CASE("a_destroyed_operation_in_flight_is_waited_for", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        std::array<char, 16> memory{};
        // A worker thread has it, so the cancellation takes more than one enter.
        group->spawn([](pipe_ends& from_, std::array<char, 16>& to) -> task<> {
            (void)co_await uring([&](io_uring_sqe& sqe) {
                prepare_read(sqe, from_.reading(), to.data(), to.size());
                sqe.flags |= IOSQE_ASYNC;
            });
        }(from, memory));
        co_await yield();
        co_await next_turn{};
        co_await next_turn{};
        CHECK(home.stats().operations_in_flight == 1);
        group.reset();
        CHECK(home.stats().operations_in_flight == 0);
        from.write("late");
        CHECK(from.left() == "late");
        CHECK(memory[0] == 0);
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("an_operation_on_a_worker_thread_is_cancelled", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    used.run([](pipe_ends& from) -> task<> {
        task_group group(co_await this_scope{});
        std::array<char, 16> memory{};
        result<int> outcome = 0;
        group.spawn([](pipe_ends& from_, std::array<char, 16>& to, result<int>& report) -> task<> {
            report = co_await uring([&](io_uring_sqe& sqe) {
                prepare_read(sqe, from_.reading(), to.data(), to.size());
                sqe.flags |= IOSQE_ASYNC;
            });
        }(from, memory, outcome));
        co_await yield();
        co_await next_turn{};
        co_await next_turn{};
        group.cancel();
        co_await group.join();
        // A worker that blocks in the read is interrupted by a signal.
        const bool ended = outcome == failure(errc::cancelled) || outcome == failure(from_errno(EINTR));
        CHECK(ended);
    }(pipe));
    pipe.write("late");
    CHECK(pipe.left() == "late");
    check_baseline(used);
}

TEST_CASE("the_result_of_a_zero_copy_send_is_the_bytes_and_not_the_notification", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    // Zero-copy sends exist for internet sockets only.
    const int receiver = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int sender = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(receiver, reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::getsockname(receiver, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    REQUIRE(::connect(sender, reinterpret_cast<sockaddr*>(&address), length) == 0);
    used.run([](int to) -> task<> {
        static constexpr std::array<char, 1000> message{};
        const result<int> sent = co_await uring([&](io_uring_sqe& sqe) {
            io_uring_prep_send_zc(&sqe, to, message.data(), message.size(), 0, 0);
        });
        CHECK(sent == 1000);
    }(sender));
    ::close(receiver);
    ::close(sender);
    check_baseline(used);
}

TEST_CASE("an_operation_can_be_made_first_and_awaited_later") {
    executor used({}, test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        std::array<char, 16> memory{};
        auto operation = read_into(from.reading(), memory);
        const auto before = home.stats();
        co_await next_turn{};
        CHECK(home.stats().operations_in_flight == before.operations_in_flight);
        from.write("data");
        const result<int> read = co_await std::move(operation);
        CHECK(read == 4);
    }(used, pipe));
}
