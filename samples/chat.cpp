// A chat server: every line goes to every member. Try it with two of these:  socat - TCP:127.0.0.1:7001
//
// A line is one shared message in as many send queues as there are members. One that reads more slowly than the others
// talk has time to catch up with a burst; then it is disconnected. Meanwhile it costs the others nothing.
#include "command_line.hpp"

#include <chainring/chainring.hpp>

#include <chrono>
#include <cstdio>
#include <list>
#include <optional>
#include <string>
#include <string_view>

namespace cr = chainring;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t longest_line = 4096; // bytes, the line's end included
constexpr auto patience = 1s;              // with a member that is behind
constexpr unsigned patient = 64;           // as long as it is behind by less than as many times the limit
constexpr unsigned most_lines = 1 << 18;   // and by fewer lines: an empty one takes memory too

class room {
  public:
    explicit room(unsigned behind)
        : behind_(behind) {}

    // A member from the first line to the last.
    cr::task<> serve(cr::tcp_stream member) {
        member.set_send_marks({.high_bytes = patient * behind_, .high_messages = most_lines});
        const auto place = members_.insert(members_.end(), {&member, {}});
        cr::buffered_reader lines(member);
        std::error_code why;
        while (!why) {
            const auto line = co_await cr::until_shutdown(lines.read_until("\n", longest_line - 1));
            if (line)
                say(line->text());
            else
                why = line.error();
        }
        if (why == cr::errc::cut_off) { // the last one may have no end of its own
            const auto last = co_await lines.read_some();
            if (last) say(last->text());
        }
        members_.erase(place);
        // It is sent, though the connection ends with the member.
        if (why == cr::errc::too_long)
            (void)co_await member.write("chat: a line has at most 4096 bytes; goodbye\n");
    }

  private:
    void say(std::string_view text) {
        const cr::shared_message line(std::string(text) + '\n');
        for (seat& each : members_) {
            const auto written = each.member->try_write(line);
            const bool full = !written && written.error() == cr::errc::queue_full;
            if (full || is_too_slow(each)) each.member->abort(); // its own receive ends, and takes it out
        }
    }

    struct seat {
        cr::tcp_stream* member;
        std::optional<std::chrono::steady_clock::time_point> behind_since;
    };

    bool is_too_slow(seat& of) const {
        if (of.member->unsent() <= behind_) {
            of.behind_since.reset();
            return false;
        }
        const auto now = std::chrono::steady_clock::now();
        if (!of.behind_since) of.behind_since = now;
        return now - *of.behind_since > patience;
    }

    unsigned behind_; // from more unsent bytes on a member is
    std::list<seat> members_;
};

cr::task<cr::result<void>> serve(cr::endpoint at, room& members) {
    auto listener = co_await cr::try_(cr::tcp_listener::bind(at));
    const auto local = co_await cr::try_(listener.local());
    std::printf("listening on %s\n", local.to_string().c_str());
    std::fflush(stdout);
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            cr::tcp_stream member = co_await cr::try_(listener.accept());
            sessions.spawn(members.serve(std::move(member)));
        }
    });
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7001";
    unsigned behind = 256 * 1024;
    command_line arguments("A chat server on chainring: every line goes to every member");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7001 or [::1]:7001");
    arguments
        .option(
            "--limit", behind, "unsent bytes above which a member is behind: for a second, then it has to go")
        .between(4096, 1U << 24);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const auto at = cr::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "chat: %s: %s\n", listen.c_str(), at.error().message().c_str());
        return 1;
    }
    try {
        cr::runtime runtime;
        room members(behind);
        const cr::result<void> served = runtime.block_on(serve(*at, members));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "chat: %s: %s\n", listen.c_str(), served.error().message().c_str());
            return 1;
        }
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "chat: %s\n", error.what());
        return 1;
    }
}
