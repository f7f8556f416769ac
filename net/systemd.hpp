// systemd: the sockets that the service manager has opened for this process, and what it wants to hear of it
// (sd_listen_fds(3), sd_notify(3)).
//
//     auto passed = co_await cr::try_(cr::systemd::passed_sockets::take());
//     auto listener = co_await cr::try_(passed.adopt<cr::tcp_listener>("web"));
//     group.spawn(cr::systemd::feed_watchdog());
//     (void)co_await cr::systemd::notify("READY=1");
//
// Without a service manager nothing was passed, and nobody is told anything.
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/runtime/owned_descriptor.hpp>
#include <chainring/runtime/task.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chainring {

// What is wrong with what came from the service manager.
enum class systemd_errc {
    malformed_listen_pid = 1, // not the number of a process
    malformed_listen_fds,     // not a count from 1 on
    malformed_listen_fdnames, // not as many names as LISTEN_FDS says
    missing_descriptors,      // not as many descriptors as LISTEN_FDS says
    not_passed,               // no socket of that name, or no other one
    malformed_notify_socket,  // no unix socket; vsock is not supported
    malformed_watchdog_pid,   // not the number of a process
    malformed_watchdog_usec,  // not a time from 1 us to 292 years
};

const std::error_category& systemd_category() noexcept;
std::error_code make_error_code(systemd_errc condition) noexcept;

} // namespace chainring

template <> struct std::is_error_code_enum<chainring::systemd_errc> : std::true_type {};

namespace chainring::systemd {

// Move-only; those that nobody adopted close with it.
class passed_sockets {
  public:
    // Takes the variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment as well, so that they are
    // taken once, and that no child process believes that they are its own. So it is called before other threads
    // look at the environment. Variables of another process (LISTEN_PID) stay, and are none of this one's.
    //
    // errors: systemd_errc::malformed_listen_pid, malformed_listen_fds, malformed_listen_fdnames, missing_descriptors (a
    //         descriptor that is close-on-exec did not come from there). The variables are gone then too, and what is
    //         open stays open
    static result<passed_sockets> take();

    std::size_t size() const noexcept { return sockets_.size(); }
    bool empty() const noexcept { return sockets_.empty(); }
    // Of those that nobody adopted yet, in the order in which they were passed: the unit's FileDescriptorName=, which by
    // default is the name of its socket unit. Several sockets may have the same.
    std::vector<std::string> names() const;

    // The first socket of that name becomes a listener or a stream, by its `adopt` (adopt.hpp), on an executor's thread.
    //
    // errors: systemd_errc::not_passed when there is none of that name (or none left); those of `adopt`, and then it stays here
    template <class Adopted, class... Options>
    result<Adopted> adopt(std::string_view name, const Options&... options) {
        socket* const found = find(name);
        if (found == nullptr) return failure(make_error_code(systemd_errc::not_passed));
        result<Adopted> adopted = Adopted::adopt(std::move(found->descriptor), options...);
        if (adopted) sockets_.erase(sockets_.begin() + (found - sockets_.data()));
        return adopted;
    }

  private:
    struct socket {
        std::string name;
        owned_descriptor descriptor;
    };

    socket* find(std::string_view name) noexcept;

    std::vector<socket> sockets_;
};

// Tells the service manager something of this process: lines as in sd_notify(3), such as "READY=1", "STOPPING=1" or
// "STATUS=serving 12 clients".
//
// completes when: the message is on its way
// value:          whether there is a service manager that wants to hear it (NOTIFY_SOCKET)
// errors:         systemd_errc::malformed_notify_socket; those of connecting and of sending
// cancellation:   reaches the connect and the send; what was sent is the result
// ownership:      nothing
// thread:         the executor's
task<result<bool>> notify(std::string state);

// How often the service manager wants to hear from this process (WatchdogSec=), or it kills it. None: not at all.
// errors: systemd_errc::malformed_watchdog_usec, malformed_watchdog_pid
result<std::optional<duration>> watchdog_period();

// Tells it so, twice as often, for as long as the executor takes its turns. To be spawned beside the work. A process that
// takes over from the one that the service manager has started is not asked to (WATCHDOG_PID).
//
// completes when: at once if the service manager does not ask for it
// errors:         those of watchdog_period; systemd_errc::malformed_notify_socket; errc::cancelled. A notification that fails is made again at its next time
// cancellation:   at once
// ownership:      nothing
// thread:         the executor's
task<result<void>> feed_watchdog();

} // namespace chainring::systemd
