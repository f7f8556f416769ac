#include <chainring/net/happy_eyeballs.hpp>
#include <chainring/net/tcp.hpp>
#include <chainring/runtime/scope.hpp>
#include <chainring/runtime/sleep.hpp>

#include <optional>

namespace chainring {

namespace {

// The family, or the way to its network, is missing on this machine: which says nothing about the host.
bool never_left(const std::error_code& error) noexcept {
    return error == std::errc::address_family_not_supported || error == std::errc::network_unreachable ||
           error == std::errc::address_not_available;
}

class connection_race {
  public:
    connection_race(std::vector<endpoint> candidates, const socket_options& options, duration attempt_delay)
        : candidates_(std::move(candidates))
        , options_(options)
        , attempt_delay_(attempt_delay) {}

    // Spawns one attempt after the other, until there is a winner or no candidate is left.
    task<> start_attempts(task_group& attempts) {
        cancel_scope& here = co_await this_scope{};
        for (std::size_t next = 0; next < candidates_.size(); ++next) {
            if (next != 0) {
                cancel_scope pause(&here);
                pause_ = &pause;
                co_await detail::await_in(pause, wait_for_those_before());
                pause_ = nullptr;
            }
            if (winner_ || here.cancelled()) break;
            attempts.spawn(attempt(candidates_[next], attempts));
        }
    }

    result<tcp_stream> take_outcome() {
        if (winner_) return std::move(*winner_);
        return failure(error_);
    }

  private:
    task<> wait_for_those_before() { (void)co_await sleep(attempt_delay_); }

    task<> attempt(endpoint to, task_group& attempts) {
        auto connected = co_await tcp_stream::connect(to, options_);
        if (!connected) {
            failed(connected.error());
        } else {
            attempts.cancel();
            if (!winner_) winner_ = std::move(*connected); // a second one closes by itself
        }
        if (pause_ != nullptr) pause_->cancel();
    }

    void failed(const std::error_code& error) noexcept {
        if (!error_ || (never_left(error_) && !never_left(error))) error_ = error;
    }

    std::vector<endpoint> candidates_;
    socket_options options_;
    duration attempt_delay_;
    cancel_scope* pause_ = nullptr; // of who starts the attempts, while it waits
    std::optional<tcp_stream> winner_;
    std::error_code error_;
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
    connection_race race(std::move(candidates), options, attempt_delay);
    auto start = [&race](task_group& attempts) { return race.start_attempts(attempts); };
    co_await scope(std::move(start));
    auto outcome = race.take_outcome();
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
