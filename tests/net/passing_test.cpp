// Descriptors that pass to another process, in the order of the messages, and none of which is lost or left over.
#include "adopted.hpp"
#include "plain_passing.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <random>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

ino_t inode_of(int descriptor) {
    struct stat found{};
    return ::fstat(descriptor, &found) == 0 ? found.st_ino : 0;
}

// A stream over one end of a pair of sockets.
template <class Over> typename Over::stream stream_of(int descriptor) {
    return must(Over::stream::adopt(descriptor));
}

} // namespace

LOCAL_TEST_CASE("a_passed_descriptor_is_of_the_same_file_and_close_on_exec", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        auto pipe = made_pipe();
        const ino_t inode = inode_of(pipe.reading.get());
        const std::size_t sent = must(co_await pair.near.send_fd(pipe.reading.get(), "p"));
        CHECK(sent == 1);
        pipe.reading.reset(); // the receiver has its own
        std::array<char, 8> memory{};
        auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
        CHECK(received.size == 1);
        CHECK(memory[0] == 'p');
        REQUIRE(received.descriptors.size() == 1);
        CHECK(inode_of(received.descriptors.front().get()) == inode);
        CHECK(::fcntl(received.descriptors.front().get(), F_GETFD) == FD_CLOEXEC);
        CHECK(::write(pipe.writing.get(), "!", 1) == 1);
        char read = 0;
        CHECK(::read(received.descriptors.front().get(), &read, 1) == 1);
        CHECK(read == '!');
    });
}

namespace {

template <class Stream> task<result<std::size_t>> pass_back(Stream& near, Stream& far, int descriptor) {
    std::array<char, 8> memory{};
    co_await try_(near.send_fd(descriptor, "d"));
    const received_descriptors received = co_await try_(timeout(1h, far.receive_fd(bytes_of_memory(memory))));
    co_return received.descriptors.size();
}

} // namespace

LOCAL_TEST_CASE("operations_of_descriptors_compose_as_others_do", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const std::size_t passed = must(co_await pass_back(pair.near, pair.far, 0));
        CHECK(passed == 1);
        const auto refused = co_await pass_back(pair.near, pair.far, -1);
        CHECK(error_of(refused) == std::errc::bad_file_descriptor);
    });
}

LOCAL_TEST_CASE("a_descriptor_arrives_behind_what_was_sent_before_and_ahead_of_what_follows", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const auto pipe = made_pipe();
        must(co_await pair.near.write("one "sv));
        must(co_await pair.near.write("two "sv));
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, int descriptor) -> task<> {
                must(co_await to.send_fd(descriptor, "first "));
            }(pair.near, pipe.reading.get()));
            group.spawn([](auto& to, int descriptor) -> task<> {
                must(co_await to.send_fd(descriptor, "second "));
            }(pair.near, pipe.writing.get()));
            group.spawn([](auto& to) -> task<> { must(co_await to.send("three"sv)); }(pair.near));
            co_return;
        });
        std::string text;
        std::string at_first;
        std::string at_second;
        while (text.size() < 26) {
            std::array<char, 64> memory{};
            const auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory), 4));
            REQUIRE(received.size != 0);
            text.append(memory.data(), received.size);
            for (const owned_descriptor& each : received.descriptors)
                (inode_of(each.get()) == inode_of(pipe.reading.get()) && at_first.empty() ? at_first
                                                                                          : at_second) = text;
        }
        CHECK(text == "one two first second three");
        CHECK(at_first == "one two first ");
        CHECK(at_second == "one two first second ");
    });
}

LOCAL_TEST_CASE("a_descriptor_is_sent_behind_a_flush_of_nothing", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const auto pipe = made_pipe();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& of) -> task<> { must(co_await of.flush()); }(pair.near));
            group.spawn([](auto& to, int descriptor) -> task<> {
                must(co_await to.send_fd(descriptor, "d"));
            }(pair.near, pipe.reading.get()));
            co_return;
        });
        std::array<char, 8> memory{};
        const auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
        CHECK(received.descriptors.size() == 1);
    });
}

LOCAL_TEST_CASE("several_descriptors_pass_with_one_message_and_what_has_no_room_is_closed", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const auto pipe = made_pipe();
        const int three[] = {pipe.reading.get(), pipe.writing.get(), pipe.reading.get()};
        std::array<char, 8> memory{};
        co_await until([] { return executor::current()->stats().pending_closes == 0; }); // the listener's
        const std::size_t before = open_descriptors();
        {
            must(co_await pair.near.send_fd(three, bytes_of_text("abc")));
            const auto all = must(co_await pair.far.receive_fd(bytes_of_memory(memory), 3));
            CHECK(all.descriptors.size() == 3);
            CHECK(open_descriptors() == before + 3);
        }
        for (unsigned room = 0; room < 3; ++room) {
            must(co_await pair.near.send_fd(three, bytes_of_text("abc")));
            auto receiving = pair.far.receive_fd(bytes_of_memory(memory), room);
            const auto received = co_await receiving;
            CHECK(error_of(received) == errc::too_many_descriptors);
            CHECK(receiving.received().size == 3);
            CHECK(receiving.received().descriptors.size() == room);
            CHECK(open_descriptors() == before + room);
        }
        must(co_await pair.near.send_fd(pipe.reading.get(), "next"));
        const auto next = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
        CHECK(next.size == 4);
        CHECK(next.descriptors.size() == 1);
    });
}

LOCAL_TEST_CASE("descriptors_that_cannot_be_sent_are_the_error_of_their_message_alone", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const auto pipe = made_pipe();
        auto closed = made_pipe();
        const int number = closed.reading.get();
        closed.reading.reset();
        outcome refused;
        outcome behind;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, int descriptor, outcome& told) -> task<> {
                const auto sent = co_await to.send_fd(descriptor, "never");
                told.error = error_of(sent);
            }(pair.near, number, refused));
            group.spawn([](auto& to, outcome& told) -> task<> {
                const auto sent = co_await to.send("behind"sv);
                told.error = error_of(sent);
            }(pair.near, behind));
            co_return;
        });
        CHECK(refused.error == std::errc::bad_file_descriptor);
        CHECK_FALSE(behind.error);
        const std::vector<int> many(254, pipe.reading.get());
        const auto too_many = co_await pair.near.send_fd(many, bytes_of_text("never"));
        CHECK(error_of(too_many) == std::errc::invalid_argument);
        const auto empty = co_await pair.near.send_fd(pipe.reading.get(), "");
        CHECK(error_of(empty) == errc::empty_message);
        must(co_await pair.near.send_fd(pipe.reading.get(), "whole"));
        std::string text;
        std::size_t descriptors = 0;
        while (text.size() < 11) {
            std::array<char, 64> memory{};
            const auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
            REQUIRE(received.size != 0);
            text.append(memory.data(), received.size);
            descriptors += received.descriptors.size();
        }
        CHECK(text == "behindwhole");
        CHECK(descriptors == 1);
    });
}

TEMPLATE_TEST_CASE("a_large_message_brings_its_descriptor_once", "[linux]", over_unix) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<TestType>(4096);
        const auto pipe = made_pipe();
        const std::string large = random_text(500'000, 3);
        std::string text;
        std::size_t descriptors = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, int descriptor, std::string_view all) -> task<> {
                const std::size_t sent = must(co_await to.send_fd(descriptor, all));
                CHECK(sent == all.size());
            }(pair.near, pipe.reading.get(), large));
            while (text.size() < large.size()) {
                std::array<char, 10'000> memory{};
                const auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
                if (text.empty()) CHECK(received.descriptors.size() == 1);
                text.append(memory.data(), received.size);
                descriptors += received.descriptors.size();
            }
        });
        CHECK((text == large));
        CHECK(descriptors == 1);
    });
}

LOCAL_TEST_CASE("a_peer_is_known_by_its_process_and_user", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const credentials peer = must(pair.far.peer_credentials());
        CHECK(peer.process == ::getpid());
        CHECK(peer.user == ::getuid());
        CHECK(peer.group == ::getgid());
    });
}

namespace {

constexpr int passes = with_sanitizer ? 1'000 : 10'000;

struct tally {
    int passed = 0;
    int strangers = 0; // of another file than was sent
    bool ended = false;
};

template <class Stream> task<> pass_one(Stream& to, int descriptor, tally& counted) {
    auto sending = to.send_fd(descriptor, "d");
    const auto sent = co_await sending;
    if (!sent && sent.error() != errc::cancelled) FAIL("unexpected error: " << sent.error().message());
    counted.passed += sending.sent() != 0 ? 1 : 0;
}

template <class Stream> task<> take_passed(Stream& from, ino_t inode, tally& counted) {
    std::array<char, 1> memory{};
    const auto received = co_await from.receive_fd(bytes_of_memory(memory));
    if (!received) co_return;
    counted.ended = received->size == 0;
    for (const owned_descriptor& each : received->descriptors) {
        ++counted.passed;
        counted.strangers += inode_of(each.get()) != inode ? 1 : 0;
    }
}

// Lets it begin, and perhaps end; then it is cancelled.
template <class Make> task<> in_a_moment(std::minstd_rand& random, Make make) {
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(make());
        for (unsigned pause = (random() >> 8) % 4; pause != 0; --pause) co_await one_turn();
        if ((random() >> 8) % 2 == 0) group.cancel();
    });
}

template <class Over> int take_all_in_a_child(int descriptor, ino_t inode, task_work_mode mode) {
    tally counted;
    executor home(options_for(mode));
    const std::size_t before = open_descriptors();
    home.run([](int number, ino_t expected, tally& into) -> task<> {
        auto stream = stream_of<Over>(number);
        std::minstd_rand random(1);
        while (!into.ended) co_await in_a_moment(random, [&] { return take_passed(stream, expected, into); });
    }(descriptor, inode, counted));
    const bool fits = counted.strangers == 0 && open_descriptors() == before - 1; // the stream's own
    return fits ? counted.passed : -1;
}

} // namespace

LOCAL_TEST_CASE("descriptors_pass_between_processes_ten_thousand_times_and_none_is_left", "[linux]") {
    const task_work_mode mode = GENERATE(both_modes());
    const std::size_t before = open_descriptors();
    {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, over_any::stream::kind.type | SOCK_CLOEXEC, 0, ends) == 0);
        owned_descriptor near(ends[0]);
        owned_descriptor far(ends[1]);
        auto passed = made_pipe();
        auto report = made_pipe();
        const pid_t child = ::fork(); // no executor exists
        REQUIRE(child >= 0);
        if (child == 0) {
            ::alarm(100);
            near.reset();
            int took = -1;
            try {
                took = take_all_in_a_child<over_any>(far.take(), inode_of(passed.reading.get()), mode);
            } catch (...) { // the rest of this test is the parent's
            }
            [[maybe_unused]] const ssize_t written = ::write(report.writing.get(), &took, sizeof took);
            ::_exit(0);
        }
        far.reset();
        report.writing.reset();
        tally counted;
        on_executor(mode, [&]() -> task<> {
            auto stream = stream_of<over_any>(near.take());
            std::minstd_rand random(2);
            for (int round = 0; round < passes; ++round)
                co_await in_a_moment(random, [&] { return pass_one(stream, passed.reading.get(), counted); });
            must(co_await stream.close());
        });
        int took = -1;
        CHECK(::read(report.reading.get(), &took, sizeof took) == sizeof took);
        CHECK(took == counted.passed);
        CHECK(counted.passed > passes / 4);
        int status = -1;
        CHECK(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    CHECK(open_descriptors() == before);
}
