// A load generator for echo servers, which checks every byte.
//
//     build/samples/echo_load --connect 127.0.0.1:7000 --connections 64 --size 64 --depth 1 --seconds 3
#include "command_line.hpp"
#include "latency_histogram.hpp"
#include "standard_output.hpp"

#include <chainring/chainring.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace cr = chainring;

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t most_in_flight = std::size_t{1} << 30; // bytes on a connection

struct options {
    cr::endpoint server;
    unsigned connections = 64;
    std::size_t size = 64; // bytes of a message
    unsigned depth = 1;    // messages in flight on a connection
    double seconds = 3;
    double warm_up = 1;
};

struct tally {
    bool measuring = false;
    bool stop = false;
    bool interrupted = false; // before the end
    unsigned usable = 0;      // connections
    std::chrono::duration<double> elapsed{};
    std::uint64_t messages = 0;
    std::uint64_t wrong = 0;  // connections
    std::uint64_t errors = 0; // connections
    std::string first_error;
    latency_histogram latency;

    double rate() const { // messages a second
        return elapsed.count() > 0 ? static_cast<double>(messages) / elapsed.count() : 0;
    }
};

// Every message of every connection differs from the one before, so that an old, lost or foreign reply is
// seen.
class pattern {
  public:
    pattern(std::uint64_t seed, std::size_t size)
        : bytes_(size)
        , state_(seed * 0x9e3779b97f4a7c15 + 1) {}

    std::span<const std::byte> next() {
        for (std::size_t at = 0; at < bytes_.size(); at += sizeof state_) {
            state_ ^= state_ << 13;
            state_ ^= state_ >> 7;
            state_ ^= state_ << 17;
            std::memcpy(bytes_.data() + at, &state_, std::min(sizeof state_, bytes_.size() - at));
        }
        return bytes_;
    }

  private:
    std::vector<std::byte> bytes_;
    std::uint64_t state_;
};

// Compares a stream of replies with what was sent.
class checker {
  public:
    checker(std::uint64_t seed, std::size_t size)
        : expected_(seed, size)
        , size_(size)
        , now_(expected_.next()) {}

    // Returns how many messages these bytes completed; false in `right` when a byte differs.
    unsigned take(std::span<const std::byte> bytes, bool& right) {
        unsigned completed = 0;
        while (!bytes.empty()) {
            const std::size_t part = std::min(bytes.size(), size_ - at_);
            if (std::memcmp(bytes.data(), now_.data() + at_, part) != 0) right = false;
            bytes = bytes.subspan(part);
            at_ += part;
            if (at_ == size_) {
                at_ = 0;
                now_ = expected_.next();
                ++completed;
            }
        }
        return completed;
    }

  private:
    pattern expected_;
    std::size_t size_;
    std::span<const std::byte> now_;
    std::size_t at_ = 0;
};

class exchange {
  public:
    exchange(cr::stream& server, const options& wanted, std::uint64_t seed, tally& counted)
        : server_(server)
        , wanted_(wanted)
        , outgoing_(seed, wanted.size)
        , replies_(seed, wanted.size)
        , counted_(counted) {}

    // One burst and its replies. False: the connection is of no more use.
    cr::task<bool> run() {
        next_burst();
        const auto begun = clock_type::now();
        if (burst_.size() <= fits_everywhere) {
            if (!co_await send()) co_return false;
            co_return co_await receive(begun);
        }
        // The server stops reading when nobody takes its replies: send and receive at the same time.
        bool received = false;
        co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
            group.spawn([](exchange& self) -> cr::task<> { co_await self.send(); }(*this));
            received = co_await receive(begun);
            if (!received) group.cancel();
        });
        co_return received;
    }
    bool has_failed() const { return failed_; }

  private:
    // Bytes that the buffers between here and the server hold at least.
    static constexpr std::size_t fits_everywhere = std::size_t{32} * 1024;

    void next_burst() {
        burst_.clear();
        for (unsigned message = 0; message < wanted_.depth; ++message) {
            const std::span<const std::byte> bytes = outgoing_.next();
            burst_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
    }

    cr::task<bool> send() {
        const auto sent = co_await server_.send(burst_);
        if (sent) co_return true;
        if (sent.error() != cr::errc::cancelled) failed(sent.error().message());
        co_return false;
    }

    cr::task<bool> receive(clock_type::time_point begun) {
        for (unsigned missing = wanted_.depth; missing > 0;) {
            const auto chunk = co_await server_.receive();
            if (!chunk || chunk->empty()) {
                if (chunk)
                    failed("the server closed the connection");
                else if (chunk.error() != cr::errc::cancelled)
                    failed(chunk.error().message());
                else if (counted_.stop)
                    failed("no reply within a second of the end");
                co_return false;
            }
            bool right = true;
            const unsigned completed = replies_.take(chunk->bytes(), right);
            if (!right || completed > missing) {
                ++counted_.wrong;
                failed_ = true;
                co_return false;
            }
            missing -= completed;
            if (counted_.measuring) {
                counted_.messages += completed;
                counted_.latency.record(clock_type::now() - begun, completed);
            }
        }
        co_return true;
    }

    // Counted once, though sending and receiving may both hear of it.
    void failed(const std::string& reason) {
        if (std::exchange(failed_, true)) return;
        ++counted_.errors;
        if (counted_.first_error.empty()) counted_.first_error = reason;
    }

    cr::stream& server_;
    const options& wanted_;
    pattern outgoing_;
    checker replies_;
    std::string burst_;
    tally& counted_;
    bool failed_ = false;
};

// The last connection that fails ends the measurement.
template <class Stream>
cr::task<>
drive(Stream server, const options& wanted, std::uint64_t seed, tally& counted, cr::task_group& group) {
    exchange with_server(server, wanted, seed, counted);
    bool usable = true;
    while (usable && !counted.stop) usable = co_await with_server.run();
    if (!usable && !with_server.has_failed()) co_return; // cancelled
    if (--counted.usable == 0 && !usable) group.cancel();
}

cr::duration seconds(double count) {
    return std::chrono::duration_cast<cr::duration>(std::chrono::duration<double>(count));
}

// The window is announced on standard error, so that a harness can read the server's CPU time at both ends.
cr::task<cr::result<void>> measure(const options& wanted, tally& counted) {
    co_await cr::try_(cr::until_shutdown(cr::sleep(seconds(wanted.warm_up))));
    std::fprintf(stderr, "measuring\n");
    counted.measuring = true;
    const auto begun = clock_type::now();
    const auto slept = co_await cr::until_shutdown(cr::sleep(seconds(wanted.seconds)));
    counted.measuring = false;
    counted.elapsed = clock_type::now() - begun;
    co_await cr::try_(slept);
    std::fprintf(stderr, "measured\n");
    counted.stop = true;
    // Replies that are under way get a second.
    for (int wait = 0; wait < 100 && counted.usable != 0; ++wait) co_await cr::try_(cr::sleep(seconds(0.01)));
    co_return {};
}

cr::task<> measure_and_end(const options& wanted, tally& counted, cr::task_group& group) {
    const auto measured = co_await measure(wanted, counted);
    counted.interrupted = !measured && counted.usable != 0;
    group.cancel();
}

template <class Stream> cr::task<cr::result<void>> load(const options& wanted, tally& counted) {
    std::vector<Stream> connections;
    for (unsigned number = 0; number < wanted.connections; ++number) {
        auto connected = co_await cr::try_(Stream::connect(wanted.server));
        connections.push_back(std::move(connected));
    }
    counted.usable = wanted.connections;
    co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
        for (unsigned number = 0; number < wanted.connections; ++number)
            group.spawn(drive(std::move(connections[number]), wanted, number, counted, group));
        group.spawn(measure_and_end(wanted, counted, group));
        co_return;
    });
    co_return {};
}

cr::task<cr::result<void>> load_any(const options& wanted, tally& counted) {
    const bool local = wanted.server.family() == AF_UNIX;
    return local ? load<cr::unix_stream>(wanted, counted) : load<cr::tcp_stream>(wanted, counted);
}

void print_json(const options& wanted, const tally& counted) {
    std::printf(
        "{\"messages\":%llu, \"seconds\":%.6f, \"messages_per_second\":%.1f, \"p50_us\":%.2f, "
        "\"p99_us\":%.2f, "
        "\"p999_us\":%.2f, \"connections\":%u, \"size\":%zu, \"depth\":%u, \"wrong\":%llu, \"errors\":%llu, "
        "\"warmup_seconds\":%.3f}\n",
        static_cast<unsigned long long>(counted.messages), counted.elapsed.count(), counted.rate(),
        counted.latency.percentile(50), counted.latency.percentile(99), counted.latency.percentile(99.9),
        wanted.connections, wanted.size, wanted.depth, static_cast<unsigned long long>(counted.wrong),
        static_cast<unsigned long long>(counted.errors), wanted.warm_up);
}

void print_table(const options& wanted, const tally& counted) {
    std::printf("connections     %12u\n", wanted.connections);
    std::printf("message size    %12zu bytes\n", wanted.size);
    std::printf("in flight       %12u per connection\n", wanted.depth);
    std::printf(
        "messages        %12llu in %.2f s\n", static_cast<unsigned long long>(counted.messages),
        counted.elapsed.count());
    std::printf("messages/s      %12.0f\n", counted.rate());
    std::printf("latency p50     %12.1f us\n", counted.latency.percentile(50));
    std::printf("latency p99     %12.1f us\n", counted.latency.percentile(99));
    std::printf("latency p99.9   %12.1f us\n", counted.latency.percentile(99.9));
    std::printf("wrong replies   %12llu\n", static_cast<unsigned long long>(counted.wrong));
    std::printf("errors          %12llu\n", static_cast<unsigned long long>(counted.errors));
}

} // namespace

int main(int argc, char** argv) {
    std::string connect = "127.0.0.1:7000";
    options wanted;
    bool json = false;
    command_line arguments("A load generator for echo servers that checks every byte");
    arguments.option("--connect", connect, "the server, as 127.0.0.1:7000, unix:/path or unix:@name");
    arguments.option("--connections", wanted.connections, "connections").between(1, 100000);
    arguments.option("--size", wanted.size, "bytes of a message").between(1, 1 << 24);
    arguments.option("--depth", wanted.depth, "messages in flight on each connection").between(1, 65536);
    arguments.option("--seconds", wanted.seconds, "length of the measured window").between(0.01, 86'400);
    arguments.option("--warmup", wanted.warm_up, "seconds before it").between(0, 3600);
    arguments.flag("--json", json, "print one JSON object instead of the table");
    if (const auto status = arguments.parse(argc, argv)) return *status;
    if (wanted.size * wanted.depth > most_in_flight) {
        std::fprintf(stderr, "echo_load: --size times --depth is above %zu bytes\n", most_in_flight);
        return 1;
    }

    const auto server = cr::endpoint::parse(connect);
    if (!server) {
        std::fprintf(stderr, "echo_load: %s: %s\n", connect.c_str(), server.error().message().c_str());
        return 1;
    }
    wanted.server = *server;
    try {
        cr::runtime runtime;
        tally counted;
        const cr::result<void> ended = runtime.block_on(load_any(wanted, counted));
        if (!ended) {
            std::fprintf(stderr, "echo_load: %s: %s\n", connect.c_str(), ended.error().message().c_str());
            return 1;
        }
        (json ? print_json : print_table)(wanted, counted);
        if (counted.wrong != 0)
            std::fprintf(
                stderr, "echo_load: %s: wrong replies on %llu of %u connections\n", connect.c_str(),
                static_cast<unsigned long long>(counted.wrong), wanted.connections);
        if (counted.errors != 0)
            std::fprintf(
                stderr, "echo_load: %s: %s (%llu of %u connections failed)\n", connect.c_str(),
                counted.first_error.c_str(), static_cast<unsigned long long>(counted.errors),
                wanted.connections);
        if (counted.interrupted) std::fprintf(stderr, "echo_load: stopped by a signal before the end\n");
        const bool failed = counted.wrong != 0 || counted.errors != 0 || counted.interrupted;
        if (!failed && counted.messages == 0)
            std::fprintf(stderr, "echo_load: %s: not one message came back in time\n", connect.c_str());
        return written_or_failed("echo_load", failed || counted.messages == 0 ? 1 : 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo_load: %s\n", error.what());
        return 1;
    }
}
