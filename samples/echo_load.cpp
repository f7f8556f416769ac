// A load generator for echo servers, which checks every byte.
//
//     build/samples/echo_load --connect 127.0.0.1:7000 --connections 64 --size 64 --depth 1 --seconds 3
#include "latency_histogram.hpp"

#include <chainring/chainring.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace cr = chainring;

namespace {

using clock_type = std::chrono::steady_clock;

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
    std::uint64_t messages = 0;
    std::uint64_t wrong = 0;
    std::uint64_t errors = 0;
    std::string first_error;
    latency_histogram latency;

    void failed(std::error_code error) {
        ++errors;
        if (first_error.empty()) first_error = error.message();
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

cr::task<> drive(cr::tcp_stream server, const options& wanted, std::uint64_t seed, tally& counted) {
    pattern outgoing(seed, wanted.size);
    checker replies(seed, wanted.size);
    std::string burst;
    while (!counted.stop) {
        burst.clear();
        for (unsigned message = 0; message < wanted.depth; ++message) {
            const std::span<const std::byte> bytes = outgoing.next();
            burst.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
        const auto begun = clock_type::now();
        const auto sent = co_await server.send(burst);
        if (!sent) {
            counted.failed(sent.error());
            co_return;
        }
        for (unsigned missing = wanted.depth; missing > 0;) {
            const auto chunk = co_await server.receive();
            if (!chunk || chunk->empty()) {
                counted.failed(chunk ? std::make_error_code(std::errc::connection_reset) : chunk.error());
                co_return;
            }
            bool right = true;
            const unsigned completed = replies.take(chunk->bytes(), right);
            if (!right || completed > missing) {
                ++counted.wrong;
                co_return;
            }
            missing -= completed;
            if (counted.measuring) {
                counted.messages += completed;
                counted.latency.record(clock_type::now() - begun, completed);
            }
        }
    }
}

cr::duration seconds(double count) {
    return std::chrono::duration_cast<cr::duration>(std::chrono::duration<double>(count));
}

// The window is announced on standard error, so that a harness can read the server's CPU time at both ends.
cr::task<double> measure(const options& wanted, tally& counted) {
    co_await cr::sleep(seconds(wanted.warm_up));
    std::fprintf(stderr, "measuring\n");
    counted.measuring = true;
    const auto begun = clock_type::now();
    co_await cr::sleep(seconds(wanted.seconds));
    counted.measuring = false;
    const std::chrono::duration<double> elapsed = clock_type::now() - begun;
    std::fprintf(stderr, "measured\n");
    counted.stop = true;
    co_return elapsed.count();
}

cr::task<cr::result<double>> load(const options& wanted, tally& counted) {
    std::vector<cr::tcp_stream> connections;
    for (unsigned number = 0; number < wanted.connections; ++number) {
        auto connected = co_await cr::try_(cr::tcp_stream::connect(wanted.server));
        connections.push_back(std::move(connected));
    }
    co_return co_await cr::scope([&](cr::task_group& group) -> cr::task<cr::result<double>> {
        for (unsigned number = 0; number < wanted.connections; ++number)
            group.spawn(drive(std::move(connections[number]), wanted, number, counted));
        co_return co_await measure(wanted, counted);
    });
}

void print_json(const options& wanted, const tally& counted, double elapsed) {
    std::printf(
        "{\"messages\":%llu, \"seconds\":%.6f, \"messages_per_second\":%.1f, \"p50_us\":%.2f, "
        "\"p99_us\":%.2f, "
        "\"p999_us\":%.2f, \"connections\":%u, \"size\":%zu, \"depth\":%u, \"wrong\":%llu, \"errors\":%llu, "
        "\"warmup_seconds\":%.3f}\n",
        static_cast<unsigned long long>(counted.messages), elapsed,
        static_cast<double>(counted.messages) / elapsed, counted.latency.percentile(50),
        counted.latency.percentile(99), counted.latency.percentile(99.9), wanted.connections, wanted.size,
        wanted.depth, static_cast<unsigned long long>(counted.wrong),
        static_cast<unsigned long long>(counted.errors), wanted.warm_up);
}

void print_table(const options& wanted, const tally& counted, double elapsed) {
    std::printf("connections     %12u\n", wanted.connections);
    std::printf("message size    %12zu bytes\n", wanted.size);
    std::printf("in flight       %12u per connection\n", wanted.depth);
    std::printf(
        "messages        %12llu in %.2f s\n", static_cast<unsigned long long>(counted.messages), elapsed);
    std::printf("messages/s      %12.0f\n", static_cast<double>(counted.messages) / elapsed);
    std::printf("latency p50     %12.1f us\n", counted.latency.percentile(50));
    std::printf("latency p99     %12.1f us\n", counted.latency.percentile(99));
    std::printf("latency p99.9   %12.1f us\n", counted.latency.percentile(99.9));
    std::printf("wrong replies   %12llu\n", static_cast<unsigned long long>(counted.wrong));
    std::printf("errors          %12llu\n", static_cast<unsigned long long>(counted.errors));
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app("A load generator for echo servers that checks every byte");
    std::string connect = "127.0.0.1:7000";
    options wanted;
    bool json = false;
    app.add_option("--connect", connect, "the server, as 127.0.0.1:7000 or unix:/path")
        ->capture_default_str();
    app.add_option("--connections", wanted.connections, "connections")
        ->check(CLI::Range(1U, 100000U))
        ->capture_default_str();
    app.add_option("--size", wanted.size, "bytes of a message")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 24))
        ->capture_default_str();
    app.add_option("--depth", wanted.depth, "messages in flight on each connection")
        ->check(CLI::Range(1U, 65536U))
        ->capture_default_str();
    app.add_option("--seconds", wanted.seconds, "length of the measured window")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--warmup", wanted.warm_up, "seconds before it")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--json", json, "print one JSON object instead of the table");
    CLI11_PARSE(app, argc, argv);

    const auto server = cr::endpoint::parse(connect);
    if (!server) {
        std::fprintf(stderr, "echo_load: %s: %s\n", connect.c_str(), server.error().message().c_str());
        return 1;
    }
    wanted.server = *server;
    try {
        cr::runtime runtime;
        tally counted;
        const cr::result<double> elapsed = runtime.block_on(load(wanted, counted));
        if (!elapsed) {
            std::fprintf(stderr, "echo_load: %s: %s\n", connect.c_str(), elapsed.error().message().c_str());
            return 1;
        }
        (json ? print_json : print_table)(wanted, counted, *elapsed);
        if (!counted.first_error.empty())
            std::fprintf(stderr, "echo_load: %s\n", counted.first_error.c_str());
        return counted.wrong == 0 && counted.errors == 0 && counted.messages != 0 ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo_load: %s\n", error.what());
        return 1;
    }
}
