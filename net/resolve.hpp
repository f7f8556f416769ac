// resolve: the addresses of a host, by getaddrinfo on a pool of threads, since it blocks.
//
//     auto found = co_await cr::resolve("example.org", "https"); // result<std::vector<endpoint>>
#pragma once

#include <chainring/net/endpoint.hpp>
#include <chainring/runtime/blocking_pool.hpp>
#include <chainring/runtime/task.hpp>

#include <netdb.h>

#include <functional>
#include <string>
#include <vector>

namespace chainring {

// What getaddrinfo has to report (its EAI_ values); EAI_SYSTEM is not among them, it stands for an errno.
enum class resolve_errc {
    no_such_name = EAI_NONAME,     // the name does not exist, as far as is known
    no_address = EAI_NODATA,       // the name exists, and has no address
    try_again = EAI_AGAIN,         // no name server answers, for now
    server_failed = EAI_FAIL,      // a name server answers with an error
    unknown_service = EAI_SERVICE, // neither a port up to 65535 nor the name of a TCP service
    out_of_memory = EAI_MEMORY,
};

const std::error_category& resolver_category() noexcept;
std::error_code make_error_code(resolve_errc condition) noexcept;
// `returned` is getaddrinfo's, and not 0; `error` is the errno that goes with EAI_SYSTEM.
std::error_code from_getaddrinfo(int returned, int error) noexcept;

// Blocks until it knows the addresses of `host`, in the order in which they are to be tried. Called on any
// thread of a pool, and on several at once.
using lookup_function =
    std::function<result<std::vector<endpoint>>(const std::string& host, const std::string& service)>;

// getaddrinfo, for streams over IPv4 and IPv6.
result<std::vector<endpoint>> look_up(const std::string& host, const std::string& service);

struct resolve_options {
    blocking_pool* pool = nullptr;    // nullptr: the process's own
    lookup_function lookup = look_up; // another one: for names of your own, a cache, a test
};

// The host is a name or a numeric address, without brackets; the service a port or a name such as "https".
// The endpoints are in the order that the system prefers (RFC 6724), none of them twice.
//
// completes when: the addresses are known; at once, and without another thread, if host and service are numbers
// errors:         resolve_errc, of which no_such_name, no_address and try_again all may mean that there is no such
//                 host; an errno; those of offload
// cancellation:   a lookup that waits for a thread does not begin; one that runs is waited for, as long as the name
//                 servers take, and its outcome is the result
// ownership:      nothing
// thread:         the executor's
task<result<std::vector<endpoint>>>
resolve(std::string host, std::string service, resolve_options options = {});

} // namespace chainring

template <> struct std::is_error_code_enum<chainring::resolve_errc> : std::true_type {};
