#include <chainring/net/datagram.hpp>
#include <chainring/net/systemd.hpp>
#include <chainring/runtime/interval.hpp>
#include <chainring/runtime/try.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <limits>

namespace chainring::systemd {

namespace {

constexpr int first_passed = 3; // SD_LISTEN_FDS_START: behind the three standard streams

const char* variable(const char* name) noexcept {
    return std::getenv(name); // NOLINT(concurrency-mt-unsafe): as documented
}

// All of the text, and not less than 1.
template <class Number> std::optional<Number> positive(std::string_view text) noexcept {
    Number read{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
    if (error != std::errc() || end != text.data() + text.size() || read < 1) return std::nullopt;
    return read;
}

// Is what a variable names this process? Without the variable it is.
result<bool> is_for_us(const char* name) noexcept {
    const char* const given = variable(name);
    if (given == nullptr) return true;
    const auto process = positive<pid_t>(given);
    if (!process) return failure(errc::malformed_environment);
    return *process == ::getpid();
}

// What this process has opened itself is close-on-exec, as all of chainring's descriptors are; what came through exec cannot be.
bool was_passed(int descriptor) noexcept {
    const int flags = ::fcntl(descriptor, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

std::vector<std::string> split(std::string_view names) {
    std::vector<std::string> all;
    for (;;) {
        const std::size_t end = names.find(':');
        all.emplace_back(names.substr(0, end));
        if (end == std::string_view::npos) return all;
        names.remove_prefix(end + 1);
    }
}

struct announcement {
    std::string count;
    std::optional<std::string> names;
};

// What the environment has, and has no longer.
announcement take_announcement() {
    announcement taken{variable("LISTEN_FDS"), std::nullopt};
    if (const char* names = variable("LISTEN_FDNAMES")) taken.names = names;
    for (const char* name : {"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        ::unsetenv(name); // NOLINT(concurrency-mt-unsafe): as documented
    return taken;
}

// errors: errc::malformed_environment
result<endpoint> notify_address(std::string_view given) {
    if (given.starts_with('@')) return endpoint::from_abstract_name(given.substr(1));
    if (given.starts_with('/')) return endpoint::from_path(given);
    return failure(errc::malformed_environment);
}

} // namespace

result<passed_sockets> passed_sockets::take() {
    passed_sockets taken;
    if (variable("LISTEN_PID") == nullptr || variable("LISTEN_FDS") == nullptr) return taken;
    const result<bool> ours = is_for_us("LISTEN_PID");
    if (ours && !*ours) return taken;
    const announcement announced = take_announcement();
    if (!ours) return failure(ours.error());

    const auto count = positive<int>(announced.count);
    if (!count || *count > std::numeric_limits<int>::max() - first_passed)
        return failure(errc::malformed_environment);
    // What systemd calls those that it has no name for.
    const auto names = announced.names ? split(*announced.names) : std::vector<std::string>(1, "unknown");
    if (announced.names && names.size() != static_cast<std::size_t>(*count))
        return failure(errc::malformed_environment);

    for (int at = 0; at < *count; ++at)
        if (!was_passed(first_passed + at))
            return failure(std::make_error_code(std::errc::bad_file_descriptor));
    for (int at = 0; at < *count; ++at) {
        ::fcntl(first_passed + at, F_SETFD, FD_CLOEXEC);
        const std::string& name = announced.names ? names[static_cast<std::size_t>(at)] : names.front();
        taken.sockets_.push_back({name, owned_descriptor(first_passed + at)});
    }
    return taken;
}

std::vector<std::string> passed_sockets::names() const {
    std::vector<std::string> all;
    for (const socket& each : sockets_) all.push_back(each.name);
    return all;
}

passed_sockets::socket* passed_sockets::find(std::string_view name) noexcept {
    const auto found = std::ranges::find(sockets_, name, &socket::name);
    return found == sockets_.end() ? nullptr : &*found;
}

task<result<bool>> notify(std::string state) {
    const char* const given = variable("NOTIFY_SOCKET");
    if (given == nullptr) co_return false;
    const endpoint manager = co_await try_(notify_address(given));
    auto to_manager = co_await try_(connected_datagram::connect(manager));
    co_await try_(to_manager.send(std::move(state)));
    co_return true;
}

result<std::optional<duration>> watchdog_period() {
    const char* const given = variable("WATCHDOG_USEC");
    if (given == nullptr) return std::nullopt;
    const result<bool> ours = is_for_us("WATCHDOG_PID");
    if (!ours) return failure(ours.error());
    if (!*ours) return std::nullopt;
    const auto period = positive<std::int64_t>(given);
    constexpr std::int64_t longest = std::chrono::floor<std::chrono::microseconds>(duration::max()).count();
    if (!period || *period > longest) return failure(errc::malformed_environment);
    return std::chrono::microseconds(*period);
}

task<result<void>> feed_watchdog() {
    const std::optional<duration> period = co_await try_(watchdog_period());
    if (!period) co_return {};
    interval half(std::max(*period / 2, duration(1)), missed_ticks::skip);
    for (;;) {
        // A manager that is not there for once may be back the next time.
        const result<bool> told = co_await notify("WATCHDOG=1");
        if (!told && told.error() == errc::malformed_environment) co_return failure(told.error());
        co_await try_(half.tick());
    }
}

} // namespace chainring::systemd
