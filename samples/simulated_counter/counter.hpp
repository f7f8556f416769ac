// A counter that clients add to over TCP, as a server and a client of somebody's own: nothing here knows of a simulation.
//
// A client asks "ADD alice 7", its name and the number of the request, and is answered "OK 7". It asks again, over another
// connection, when no answer comes: so a request may arrive twice.
#pragma once

#include <chainring/chainring.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <sstream>
#include <string>

namespace counter {

namespace cr = chainring;
using namespace std::chrono_literals;

constexpr std::uint16_t port = 7000;
constexpr auto patience = 100ms; // of a client, with a connection and with an answer
constexpr auto pause = 10ms;     // before it tries again

// What a server does with a request that it has heard before.
enum class memory { none, of_last_request };

// The server's disk: it outlives the process.
struct ledger {
    std::uint64_t total = 0;
    std::map<std::string, std::uint64_t> last_request; // of each client, the last one that was added
};

// The client's.
struct journal {
    std::uint64_t confirmed = 0; // requests, which are numbered from 1 on
};

// One line of what arrives; none at the end of the stream, or an error.
class line_reader {
  public:
    explicit line_reader(cr::tcp_stream& from)
        : from_(from) {}

    cr::task<std::optional<std::string>> next() {
        std::size_t end = 0;
        while ((end = arrived_.find('\n')) == std::string::npos) {
            const auto chunk = co_await from_.receive();
            if (!chunk || chunk->empty()) co_return std::nullopt;
            arrived_ += chunk->text();
        }
        std::string line = arrived_.substr(0, end);
        arrived_.erase(0, end + 1);
        co_return line;
    }

  private:
    cr::tcp_stream& from_;
    std::string arrived_;
};

inline void add(ledger& disk, memory remembered, const std::string& client, std::uint64_t number) {
    std::uint64_t& last = disk.last_request[client];
    if (remembered == memory::of_last_request && number <= last) return; // asked again
    last = number;
    ++disk.total;
}

inline cr::task<> answer(cr::tcp_stream client, ledger& disk, memory remembered) {
    line_reader lines(client);
    while (const auto line = co_await lines.next()) {
        std::istringstream words(*line);
        std::string verb;
        std::string name;
        std::uint64_t number = 0;
        if (!(words >> verb >> name >> number) || verb != "ADD") co_return;
        add(disk, remembered, name, number);
        const auto sent = co_await client.send("OK " + std::to_string(number) + '\n');
        if (!sent) co_return;
    }
}

inline cr::task<cr::result<void>> serve(ledger& disk, memory remembered) {
    auto listener = co_await cr::try_(cr::tcp_listener::bind({"0.0.0.0", port}));
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            cr::tcp_stream client = co_await cr::try_(listener.accept());
            sessions.spawn(answer(std::move(client), disk, remembered));
        }
    });
}

// Until all are confirmed, or the connection is of no use any more.
inline cr::task<> ask(cr::tcp_stream server, std::string name, std::uint64_t additions, journal& disk) {
    line_reader lines(server);
    while (disk.confirmed < additions) {
        const std::string number = std::to_string(disk.confirmed + 1);
        const auto sent = co_await server.send("ADD " + name + ' ' + number + '\n');
        if (!sent) co_return;
        const auto answered = co_await cr::timeout(patience, lines.next());
        if (!answered || *answered != "OK " + number) co_return;
        ++disk.confirmed;
    }
}

inline cr::task<> keep_adding(std::string host, std::string name, std::uint64_t additions, journal& disk) {
    while (disk.confirmed < additions) {
        auto server = co_await cr::timeout(patience, cr::tcp_stream::connect({host, port}));
        if (server) co_await ask(std::move(*server), name, additions, disk);
        co_await cr::sleep(pause);
    }
}

} // namespace counter
