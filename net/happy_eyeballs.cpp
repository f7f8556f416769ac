#include <chainring/net/happy_eyeballs.hpp>
#include <chainring/net/tcp.hpp>
#include <chainring/runtime/cancellation.hpp>
#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/when.hpp>

#include <stop_token>

namespace chainring {

namespace {

// The family, or the way to its network, is missing on this machine: which says nothing about the host.
bool never_left(const std::error_code& error) noexcept {
    return error == std::errc::address_family_not_supported || error == std::errc::network_unreachable ||
           error == std::errc::address_not_available;
}

class attempts {
  public:
    attempts(std::vector<endpoint> candidates, const socket_options& options, duration delay)
        : candidates_(std::move(candidates))
        , options_(options)
        , delay_(delay) {}

    // The first connection to one of the candidates from this one on; or else the error that tells most.
    task<result<tcp_stream>> from(std::size_t first) {
        std::stop_source failed;
        if (first + 1 == candidates_.size()) {
            auto last = co_await connect(first, failed);
            co_return last;
        }
        auto ended = co_await race_success(connect(first, failed), after(first, failed));
        auto& [this_one, later] = ended.outcomes;
        if (this_one) co_return std::move(this_one);
        if (later) co_return std::move(later);
        const bool says_more = never_left(this_one.error()) && !never_left(later.error());
        co_return failure(says_more ? later.error() : this_one.error());
    }

  private:
    task<result<tcp_stream>> connect(std::size_t number, std::stop_source& failed) {
        auto connected = co_await tcp_stream::connect(candidates_[number], options_);
        if (!connected) failed.request_stop();
        co_return connected;
    }
    // Begins with the next one when this one has failed or had its time.
    task<result<tcp_stream>> after(std::size_t number, std::stop_source& failed) {
        if (delay_ > duration::zero()) (void)co_await cancel_on(failed.get_token(), sleep(delay_));
        const bool nobody_waits = co_await cancelled();
        if (nobody_waits) co_return failure(errc::cancelled);
        auto connected = co_await from(number + 1);
        co_return connected;
    }

    std::vector<endpoint> candidates_;
    socket_options options_;
    duration delay_;
};

} // namespace

std::vector<endpoint> interleave_families(const std::vector<endpoint>& endpoints) {
    std::vector<endpoint> of_first_family;
    std::vector<endpoint> others;
    for (const endpoint& each : endpoints)
        (each.family() == endpoints.front().family() ? of_first_family : others).push_back(each);
    std::vector<endpoint> interleaved;
    for (std::size_t at = 0; interleaved.size() < endpoints.size(); ++at) {
        if (at < of_first_family.size()) interleaved.push_back(of_first_family[at]);
        if (at < others.size()) interleaved.push_back(others[at]);
    }
    return interleaved;
}

task<result<tcp_stream>>
connect_to_first(std::vector<endpoint> candidates, socket_options options, duration attempt_delay) {
    if (candidates.empty()) co_return failure(make_error_code(resolve_errc::no_address));
    const cancel_scope& here = co_await this_scope{};
    attempts made(std::move(candidates), options, attempt_delay);
    auto outcome = co_await made.from(0);
    // A connection that was established by then is the result, as with one attempt.
    if (!outcome && here.cancelled()) co_return failure(errc::cancelled);
    co_return outcome;
}

task<result<tcp_stream>> connect_to_host(std::string host, std::string service, connect_options options) {
    auto found = co_await resolve(std::move(host), std::move(service), std::move(options.resolve));
    if (!found) co_return failure(found.error());
    auto ordered = interleave_families(*found);
    auto connected = co_await connect_to_first(std::move(ordered), options.socket, options.attempt_delay);
    co_return connected;
}

} // namespace chainring
