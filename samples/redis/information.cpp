#include "information.hpp"

#include "commands.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace redis {

namespace {

const auto started = std::chrono::steady_clock::now();

struct totals {
    shard_figures figures;
    std::size_t keys = 0;
    std::size_t with_end = 0;
    std::size_t channels = 0;

    void add(const shard& of) {
        figures.connected += of.figures.connected;
        figures.connections += of.figures.connections;
        figures.commands += of.figures.commands;
        keys += of.keys.size();
        with_end += of.keys.with_end();
        channels += of.listening.count();
    }
};

std::string line(std::string_view name, std::size_t value) {
    return std::string(name) + ':' + std::to_string(value) + "\r\n";
}

std::string server_section(const shards& all) {
    const auto up = std::chrono::steady_clock::now() - started;
    return "redis_version:7.0.0\r\nserver_name:chainring\r\nredis_mode:standalone\r\n" +
           line("process_id", static_cast<std::size_t>(::getpid())) + line("shards", all.count()) +
           line(
               "uptime_in_seconds",
               static_cast<std::size_t>(std::chrono::duration_cast<std::chrono::seconds>(up).count()));
}

bool wants(arguments given, std::string_view section) {
    return given.size() == 1 || std::ranges::any_of(given.subspan(1), [&](std::string_view name) {
               return is_word(name, section) || is_word(name, "all") || is_word(name, "default") ||
                      is_word(name, "everything");
           });
}

std::string text_of(const shards& all, const totals& sums, arguments given) {
    const std::pair<std::string_view, std::string> sections[] = {
        {"Server", server_section(all)},
        {"Clients", line("connected_clients", sums.figures.connected)},
        {"Stats", line("total_connections_received", sums.figures.connections) +
                      line("total_commands_processed", sums.figures.commands) +
                      line("pubsub_channels", sums.channels)},
        {"Keyspace", sums.keys == 0 ? ""
                                    : "db0:keys=" + std::to_string(sums.keys) +
                                          ",expires=" + std::to_string(sums.with_end) + ",avg_ttl=0\r\n"},
    };
    std::string text;
    for (const auto& [title, lines] : sections) {
        std::string lower(title);
        lower.front() = static_cast<char>(lower.front() - 'A' + 'a');
        if (!wants(given, lower)) continue;
        if (!text.empty()) text += "\r\n";
        text.append("# ").append(title).append("\r\n").append(lines);
    }
    return text;
}

} // namespace

chainring::task<chainring::result<void>> inform(const shards& all, arguments given, replies& to) {
    totals sums;
    for (std::size_t number = 0; number < all.count(); ++number) {
        const shards::place& where = all.at(number);
        if (where.home == &chainring::this_executor()) {
            sums.add(*where.its);
            continue;
        }
        auto asking = chainring::call_on(*where.home, [&] { sums.add(*where.its); });
        co_await chainring::try_(std::move(asking));
    }
    to.bulk(text_of(all, sums, given));
    co_return chainring::result<void>();
}

} // namespace redis
