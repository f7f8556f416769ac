#include <chainring/net/systemd.hpp>
#include <chainring/net/unix_datagram.hpp>
#include <chainring/runtime/interval.hpp>
#include <chainring/runtime/try.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <limits>

namespace chainring {

namespace {

class service_manager_category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "systemd"; }

    std::string message(int value) const override {
        switch (static_cast<systemd_errc>(value)) {
        case systemd_errc::malformed_listen_pid: return "LISTEN_PID is not the number of a process";
        case systemd_errc::malformed_listen_fds: return "LISTEN_FDS is not a number of descriptors from 1 on";
        case systemd_errc::malformed_listen_fdnames:
            return "LISTEN_FDNAMES has not as many names as LISTEN_FDS says";
        case systemd_errc::missing_descriptors:
            return "fewer descriptors were passed than LISTEN_FDS says; from 3 on, and not close-on-exec";
        case systemd_errc::not_passed:
            return "the service manager has passed no socket of that name, or it was adopted already";
        case systemd_errc::malformed_notify_socket:
            return "NOTIFY_SOCKET is not a unix socket; expected /path or @name, of at most 107 bytes";
        case systemd_errc::malformed_watchdog_pid: return "WATCHDOG_PID is not the number of a process";
        case systemd_errc::malformed_watchdog_usec:
            return "WATCHDOG_USEC is not a number of microseconds from 1 on";
        }
        return "unknown error about the service manager";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<systemd_errc>(value)) {
        case systemd_errc::missing_descriptors: return std::errc::bad_file_descriptor;
        case systemd_errc::not_passed: return {value, *this};
        default: return std::errc::invalid_argument;
        }
    }
};

} // namespace

const std::error_category& systemd_category() noexcept {
    static const service_manager_category instance;
    return instance;
}

std::error_code make_error_code(systemd_errc condition) noexcept {
    return {static_cast<int>(condition), systemd_category()};
}

namespace systemd {

namespace {

std::unexpected<std::error_code> failure(systemd_errc condition) noexcept {
    return chainring::failure(make_error_code(condition));
}

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
result<bool> is_for_us(const char* name, systemd_errc malformed) noexcept {
    const char* const given = variable(name);
    if (given == nullptr) return true;
    const auto process = positive<pid_t>(given);
    if (!process) return failure(malformed);
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

result<endpoint> notify_address(std::string_view given) {
    result<endpoint> named = failure(systemd_errc::malformed_notify_socket);
    if (given.starts_with('@')) named = endpoint::from_abstract_name(given.substr(1));
    if (given.starts_with('/')) named = endpoint::from_path(given);
    if (!named) return failure(systemd_errc::malformed_notify_socket);
    return named;
}

} // namespace

result<passed_sockets> passed_sockets::take() {
    passed_sockets taken;
    if (variable("LISTEN_PID") == nullptr || variable("LISTEN_FDS") == nullptr) return taken;
    const result<bool> ours = is_for_us("LISTEN_PID", systemd_errc::malformed_listen_pid);
    if (ours && !*ours) return taken;
    const announcement announced = take_announcement();
    if (!ours) return chainring::failure(ours.error());

    const auto count = positive<int>(announced.count);
    if (!count || *count > std::numeric_limits<int>::max() - first_passed)
        return failure(systemd_errc::malformed_listen_fds);
    // What systemd calls those that it has no name for.
    const auto names = announced.names ? split(*announced.names) : std::vector<std::string>(1, "unknown");
    if (announced.names && names.size() != static_cast<std::size_t>(*count))
        return failure(systemd_errc::malformed_listen_fdnames);

    for (int at = 0; at < *count; ++at)
        if (!was_passed(first_passed + at)) return failure(systemd_errc::missing_descriptors);
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
    auto to_manager = co_await try_(unix_datagram::connect(manager));
    co_await try_(to_manager.send(std::move(state)));
    co_return true;
}

result<std::optional<duration>> watchdog_period() {
    const char* const given = variable("WATCHDOG_USEC");
    if (given == nullptr) return std::nullopt;
    const result<bool> ours = is_for_us("WATCHDOG_PID", systemd_errc::malformed_watchdog_pid);
    if (!ours) return chainring::failure(ours.error());
    if (!*ours) return std::nullopt;
    const auto period = positive<std::int64_t>(given);
    constexpr std::int64_t longest = std::chrono::floor<std::chrono::microseconds>(duration::max()).count();
    if (!period || *period > longest) return failure(systemd_errc::malformed_watchdog_usec);
    return std::chrono::microseconds(*period);
}

task<result<void>> feed_watchdog() {
    const std::optional<duration> period = co_await try_(watchdog_period());
    if (!period) co_return {};
    interval half(std::max(*period / 2, duration(1)), missed_ticks::skip);
    for (;;) {
        // A manager that is not there for once may be back the next time.
        const result<bool> told = co_await notify("WATCHDOG=1");
        if (!told && told.error() == systemd_errc::malformed_notify_socket)
            co_return chainring::failure(told.error());
        co_await try_(half.tick());
    }
}

} // namespace systemd

} // namespace chainring
