// What was said on a connection of the mixed world, told by both of its ends: the sender's results claim what was
// sent, and what the other end has received must be that.
#pragma once

#include "simulation.hpp"

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chainring::test::mixed {

// Bytes that no other message has.
inline std::string text_of(std::size_t size, std::uint64_t seed) {
    std::string text(size, '\0');
    for (std::size_t at = 0; at < size; at += sizeof seed) {
        seed = (seed + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
        const std::uint64_t bits = seed ^ (seed >> 29);
        std::memcpy(text.data() + at, &bits, std::min(sizeof bits, size - at));
    }
    return text;
}

// One direction of a connection.
class one_way {
  public:
    class message {
      public:
        explicit message(std::string bytes)
            : bytes_(std::move(bytes)) {}
        const std::string& bytes() const noexcept { return bytes_; }
        // Bytes that the result claims to be sent.
        void settle(std::size_t sent) noexcept {
            sent_ = sent;
            known_ = true;
        }

      private:
        friend one_way;
        std::string bytes_;
        std::size_t sent_ = 0;
        bool written_ = false;
        bool known_ = false; // or else its sender was destroyed, and any part of it may have been sent
    };

    // In the order of the calls.
    message& begin(std::string bytes) { return said_.emplace_back(std::move(bytes)); }
    // It is in the queue, and will be sent whole unless the connection fails.
    void written(std::string bytes) {
        message& made = begin(std::move(bytes));
        made.settle(made.bytes_.size());
        made.written_ = true;
    }
    // The sender has ended the connection before all that it wrote was sent. Of a unix socket the other end sees an
    // end then, not a reset.
    void cut_short() noexcept {
        for (message& each : said_) each.known_ = each.known_ && !each.written_;
    }
    void received(std::string_view bytes) { heard_ += bytes; }
    // The receiver has seen the end of the stream, not an error.
    void ended() noexcept { ended_ = true; }
    std::size_t heard() const noexcept { return heard_.size(); }
    // All that was said was heard, and nothing of it was cut off.
    bool complete() const {
        std::string all;
        for (const message& each : said_) all += each.bytes_;
        return ended_ && all == heard_;
    }

    // "", or what is wrong.
    std::string verdict() const {
        std::string_view rest = heard_;
        std::size_t number = 0;
        for (const message& each : said_) {
            ++number;
            const std::string_view claimed =
                std::string_view(each.bytes_).substr(0, each.known_ ? each.sent_ : each.bytes_.size());
            const std::size_t common = common_prefix(rest, claimed);
            rest.remove_prefix(common);
            if (common == claimed.size() && claimed.size() == each.bytes_.size()) continue;
            if (common != claimed.size() && each.known_)
                return rest.empty() && !ended_ ? "" : "message " + std::to_string(number) + missing(rest);
            // A message that was cut off is the last one; of one whose sender was destroyed nothing need be sent.
            if (common != 0) break;
        }
        return rest.empty() ? "" : std::to_string(rest.size()) + " bytes were received that nobody claims";
    }

  private:
    static std::size_t common_prefix(std::string_view left, std::string_view right) {
        if (left.starts_with(right)) return right.size(); // the rule, and fast
        const std::size_t most = std::min(left.size(), right.size());
        const auto differing =
            std::mismatch(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(most), right.begin());
        return static_cast<std::size_t>(differing.first - left.begin());
    }
    static std::string missing(std::string_view rest) {
        return rest.empty() ? " did not arrive whole, and yet the stream ended"
                            : " is not what arrived in its place";
    }

    std::deque<message> said_;
    std::string heard_;
    bool ended_ = false;
};

struct conversation {
    one_way up;   // from the client
    one_way down; // from the server
};

// Records on a stream of bytes, for the same verdict: each behind its size.
inline std::string record(std::string_view bytes) {
    const auto size = static_cast<std::uint32_t>(bytes.size());
    std::string framed(reinterpret_cast<const char*>(&size), sizeof size);
    return framed.append(bytes);
}

// Sends it, and tells the direction what became of it. False: the connection is of no more use.
inline bool told(one_way::message& message, const result<std::size_t>& outcome, std::size_t sent) {
    message.settle(sent);
    if (outcome) CHECK(*outcome == sent);
    return outcome.has_value() || outcome.error() == errc::timed_out || outcome.error() == errc::cancelled;
}

// What a connection may end with when peer and kernel do as they like.
inline bool is_expected(std::error_code error) {
    return error == errc::timed_out || error == errc::cancelled || error == errc::closed ||
           error == errc::broken || error == errc::never_started || error == errc::queue_full ||
           error == std::errc::connection_reset || error == std::errc::broken_pipe;
}
inline bool is_expected_of_datagram(std::error_code error) {
    return error == errc::cancelled || error == std::errc::connection_refused;
}
inline bool is_expected_of_connect(std::error_code error) {
    return error == errc::timed_out || error == errc::cancelled || error == std::errc::connection_refused ||
           error == std::errc::too_many_files_open || error == std::errc::connection_reset;
}

// Everything that the servers and clients of a world share.
class town {
  public:
    explicit town(sim::world& within)
        : world(within) {}
    town(const town&) = delete;
    town& operator=(const town&) = delete;

    std::uint32_t choose(std::uint32_t alternatives, const char* what) {
        return world.choose(alternatives, what);
    }
    bool one_in(std::uint32_t count, const char* what) { return world.choose(count, what) == count - 1; }
    duration up_to_milliseconds(std::uint32_t most, const char* what) {
        return std::chrono::microseconds(1 + world.choose(most * 1000, what));
    }

    // The client's first bytes are its number, from which the server knows whom it talks to.
    static constexpr std::size_t size_of_number = 4;
    conversation& begin() { return conversations_.emplace_back(); }
    std::string number_of_last() const {
        const auto number = static_cast<std::uint32_t>(conversations_.size() - 1);
        return {reinterpret_cast<const char*>(&number), size_of_number};
    }
    conversation& find(std::string_view number) {
        std::uint32_t which = 0;
        REQUIRE(number.size() >= size_of_number);
        std::memcpy(&which, number.data(), size_of_number);
        REQUIRE(which < conversations_.size()); // or else these are not the first bytes of a client
        return conversations_[which];
    }
    std::string new_text(std::size_t size) { return text_of(size, ++texts_); }
    unsigned next_pair() noexcept { return pairs_++; } // of datagram sockets

    // Single operations fail, descriptors run out and the clock jumps, until the world heals.
    void let_errors_occur() {
        world.set(world.knobs().and_errors(world));
        operations_fail_ = world.knobs().failed_operation != 0;
    }
    // Some operation has failed by itself, or may have without anybody's hearing of it.
    bool operations_fail() const noexcept { return operations_fail_; }

    // The same errors, and those of operations that fail by themselves.
    bool is_expected(std::error_code error) { return mixed::is_expected(error) || is_failure(error); }
    bool is_expected_of_datagram(std::error_code error) {
        return mixed::is_expected_of_datagram(error) || is_failure(error);
    }
    bool is_expected_of_connect(std::error_code error) {
        const bool by_itself = error == std::errc::network_unreachable ||
                               error == std::errc::host_unreachable || error == std::errc::timed_out ||
                               error == std::errc::address_not_available;
        return mixed::is_expected_of_connect(error) || (operations_fail_ && by_itself) || is_failure(error);
    }
    // Of an operation that its peer had nothing to do with.
    bool is_failure(std::error_code error) {
        const bool failed = operations_fail_ &&
                            (error == std::errc::no_buffer_space || error == std::errc::not_enough_memory);
        heard_of_failures_ |= failed;
        return failed;
    }
    bool heard_of_failures() const noexcept { return heard_of_failures_; }

    void check_all() const {
        std::size_t number = 0;
        for (const conversation& each : conversations_) {
            ++number;
            const std::string up = each.up.verdict();
            const std::string down = each.down.verdict();
            if (!up.empty()) FAIL_CHECK("connection " << number << ", from the client: " << up);
            if (!down.empty()) FAIL_CHECK("connection " << number << ", from the server: " << down);
        }
    }

    sim::world& world;
    bool healed = false; // from here on everybody is polite

  private:
    bool operations_fail_ = false;
    bool heard_of_failures_ = false;
    std::deque<conversation> conversations_;
    std::uint64_t texts_ = 0;
    unsigned pairs_ = 0;
};

} // namespace chainring::test::mixed
