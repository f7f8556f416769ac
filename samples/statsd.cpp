// A collector of metrics: counters, gauges and timers arrive by UDP as statsd's clients send them, one or more lines in a datagram,
// and whoever connects by TCP gets a report and the end.
//
//     build/samples/statsd --listen 127.0.0.1:8125 --report 127.0.0.1:8126
//     echo "requests:1|c" | socat - UDP:127.0.0.1:8125; socat - TCP:127.0.0.1:8126
//
//     name:1|c  name:1|c|@0.1    a counter; one of ten was sent
//     name:5|g  name:-2|g        a gauge; with a sign what it changes by
//     name:320|ms                a timer, in milliseconds
#include "command_line.hpp"
#include "datagram_server.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace cr = chainring;

namespace {

constexpr std::size_t most_names = 10'000; // of each kind: names come from outside
constexpr std::size_t most_times = 10'000; // of a timer, the latest ones

struct timer {
    std::vector<double> times; // in milliseconds
    std::size_t count = 0;

    void add(double time) {
        if (times.size() < most_times)
            times.push_back(time);
        else
            times[count % most_times] = time;
        ++count;
    }
};

class metrics {
  public:
    // The lines of a datagram. What is no metric is counted, and nothing else.
    void take(std::string_view text) {
        while (!text.empty()) {
            const std::size_t end = std::min(text.find('\n'), text.size());
            const std::string_view line = text.substr(0, end);
            if (!line.empty() && !take_line(line)) ++malformed_;
            text.remove_prefix(std::min(end + 1, text.size()));
        }
    }
    void cut_off() { ++malformed_; }

    std::string report(std::uint32_t overflows) const {
        std::string text;
        for (const auto& [name, value] : counters_) text += "counter " + name + ' ' + in_words(value) + '\n';
        for (const auto& [name, value] : gauges_) text += "gauge " + name + ' ' + in_words(value) + '\n';
        for (const auto& [name, of] : timers_) {
            std::vector<double> sorted = of.times;
            std::ranges::sort(sorted);
            const auto at = [&sorted](double share) {
                return in_words(
                    sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))]);
            };
            text += "timer " + name + " count " + std::to_string(of.count) + " min " + at(0) + " p50 " +
                    at(0.5) + " p99 " + at(0.99) + " max " + at(1) + '\n';
        }
        text += "malformed " + std::to_string(malformed_) + "\noverflows " + std::to_string(overflows) + '\n';
        return text;
    }

  private:
    static std::string in_words(double value) {
        char text[32];
        std::snprintf(text, sizeof text, "%.10g", value);
        return text;
    }
    static std::optional<double> number(std::string_view text) {
        if (text.starts_with('+')) text.remove_prefix(1);
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
        return whole ? std::optional(value) : std::nullopt;
    }
    // nullptr: there are too many.
    template <class Value>
    static Value* find(std::map<std::string, Value, std::less<>>& among, std::string_view name) {
        if (const auto found = among.find(name); found != among.end()) return &found->second;
        if (among.size() == most_names) return nullptr;
        return &among.emplace(name, Value()).first->second;
    }

    bool take_line(std::string_view line) {
        const std::size_t colon = line.rfind(':');
        if (colon == std::string_view::npos || colon == 0) return false;
        const std::string_view name = line.substr(0, colon);
        const std::string_view rest = line.substr(colon + 1);
        const std::size_t bar = rest.find('|');
        if (bar == std::string_view::npos) return false;
        const std::string_view written = rest.substr(0, bar);
        const auto value = number(written);
        if (!value) return false;
        std::string_view kind = rest.substr(bar + 1);
        double rate = 1;
        if (const std::size_t at = kind.find("|@"); at != std::string_view::npos) {
            const auto given = number(kind.substr(at + 2));
            if (!given || *given <= 0 || *given > 1) return false;
            rate = *given;
            kind = kind.substr(0, at);
        }
        if (kind == "c") return add_to_counter(name, *value / rate);
        if (kind == "g") return set_gauge(name, *value, written.starts_with('+') || written.starts_with('-'));
        if (kind == "ms" || kind == "h") return add_time(name, *value);
        return false;
    }
    bool add_to_counter(std::string_view name, double value) {
        double* const found = find(counters_, name);
        if (found != nullptr) *found += value;
        return found != nullptr;
    }
    bool set_gauge(std::string_view name, double value, bool by_difference) {
        double* const found = find(gauges_, name);
        if (found != nullptr) *found = by_difference ? *found + value : value;
        return found != nullptr;
    }
    bool add_time(std::string_view name, double value) {
        timer* const found = find(timers_, name);
        if (found != nullptr) found->add(value);
        return found != nullptr;
    }

    std::map<std::string, double, std::less<>> counters_;
    std::map<std::string, double, std::less<>> gauges_;
    std::map<std::string, timer, std::less<>> timers_;
    std::size_t malformed_ = 0;
};

cr::task<cr::result<void>> collect(cr::udp_socket& from, metrics& into) {
    for (;;) {
        const auto got = co_await cr::until_shutdown(from.receive());
        if (!got && got.error() == cr::errc::cancelled) break;
        if (!got) continue;
        if (got->truncated())
            into.cut_off();
        else
            into.take(got->text());
    }
    co_return cr::result<void>();
}

cr::task<> tell(cr::tcp_stream who, std::string report) {
    (void)co_await who.write(std::move(report));
    (void)co_await who.close();
}

cr::task<cr::result<void>> serve(cr::endpoint metrics_at, cr::endpoint report_at) {
    cr::datagram_options options;
    options.socket.receive_buffer = 4 * 1024 * 1024; // for bursts
    auto socket = co_await cr::try_(cr::udp_socket::bind(metrics_at, options));
    auto listener = co_await cr::try_(cr::tcp_listener::bind(report_at));
    const auto reports = co_await cr::try_(listener.local());
    std::printf("reporting on %s\n", reports.to_string().c_str());
    const auto local = co_await cr::try_(socket.local());
    say_where(local);
    metrics all;
    co_return co_await cr::scope([&](cr::task_group& group) -> cr::task<cr::result<void>> {
        group.spawn(collect(socket, all));
        for (;;) {
            cr::tcp_stream who = co_await cr::try_(listener.accept());
            group.spawn(tell(std::move(who), all.report(socket.overflows().value_or(0))));
        }
    });
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:8125";
    std::string report = "127.0.0.1:8126";
    command_line arguments("Collects metrics that arrive by UDP as statsd's, and reports them by TCP");
    arguments.option("--listen", listen, "where metrics arrive by UDP, as 127.0.0.1:8125 or [::1]:8125");
    arguments.option("--report", report, "where to ask for a report by TCP");
    if (const auto status = arguments.parse(argc, argv)) return *status;
    const auto report_at = cr::endpoint::parse(report);
    if (!report_at) {
        std::fprintf(stderr, "statsd: %s: %s\n", report.c_str(), report_at.error().message().c_str());
        return 1;
    }
    return serve_datagrams("statsd", listen, [&](cr::endpoint at) { return serve(at, *report_at); });
}
