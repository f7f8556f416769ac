// How messages lie in a stream of bytes: length_prefixed and delimited, and what a codec of your own has to say.
//
// A codec finds the first message in what was received, and tells what goes around one that is sent. It owns no bytes and
// copies none.
#pragma once

#include <chainring/net/message.hpp>
#include <chainring/runtime/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace chainring {

// A message at the beginning of what was received, in bytes.
struct frame {
    static constexpr std::size_t unknown = std::numeric_limits<std::size_t>::max();

    std::size_t size = unknown; // all of it, perhaps more than was received by now, but not 0
    std::size_t before = 0;     // of it, in front of the payload
    std::size_t behind = 0;     // of it, behind the payload
};

// find(received, seen): where the first message is, as far as that can be told. `seen`: so many of these bytes it was asked about
//                       before, when there were no more. errors: errc::too_long; std::errc::bad_message; the codec's own. A
//                       frame of no bytes, or with more around the payload than it has, is errc::bad_frame to who receives
// longest():            the most bytes of a frame; more are errc::too_long, whatever `find` says
template <class Codec>
concept finds_messages = requires(Codec& codec, byte_span received, std::size_t seen) {
    { codec.find(received, seen) } -> std::same_as<result<frame>>;
    { codec.longest() } -> std::convertible_to<std::size_t>;
};

// around(payload): an object with the bytes that go before and behind this payload; they stay as long as the object does, and
//                  where it is. errors: errc::too_long; std::errc::invalid_argument: it would not arrive as it is
template <class Codec>
concept message_codec = finds_messages<Codec> && requires(Codec& codec, byte_span payload) {
    { codec.around(payload)->before() } -> std::convertible_to<byte_span>;
    { codec.around(payload)->behind() } -> std::convertible_to<byte_span>;
    { codec.around(payload).error() } -> std::convertible_to<std::error_code>;
};

// The number of the payload's bytes, in a std::uint8_t, 16_t, 32_t or 64_t, before it.
template <std::unsigned_integral Length> struct length_prefixed {
    std::size_t limit; // bytes of the payload
    std::endian order = std::endian::big;

    std::size_t longest() const noexcept { return limit + std::min(sizeof(Length), ~limit); }

    result<frame> find(byte_span received, std::size_t) const noexcept {
        if (received.size() < sizeof(Length)) return frame{};
        std::uint64_t length = 0;
        for (std::size_t at = 0; at < sizeof(Length); ++at)
            length |= std::to_integer<std::uint64_t>(received[at]) << shift(at);
        if (length > std::min(limit, frame::unknown - 1 - sizeof(Length))) return failure(errc::too_long);
        return frame{.size = sizeof(Length) + length, .before = sizeof(Length)};
    }

    class prefix {
      public:
        prefix(std::uint64_t length, const length_prefixed& by) noexcept {
            for (std::size_t at = 0; at < sizeof(Length); ++at)
                bytes_[at] = static_cast<std::byte>(length >> by.shift(at));
        }
        byte_span before() const noexcept { return bytes_; }
        byte_span behind() const noexcept { return {}; }

      private:
        std::array<std::byte, sizeof(Length)> bytes_;
    };
    result<prefix> around(byte_span payload) const noexcept {
        if (payload.size() > limit || payload.size() > std::numeric_limits<Length>::max())
            return failure(errc::too_long);
        return prefix(payload.size(), *this);
    }

  private:
    std::size_t shift(std::size_t at) const noexcept {
        return 8 * (order == std::endian::big ? sizeof(Length) - 1 - at : at);
    }
};

// The part up to a delimiter.
inline frame frame_up_to(std::string_view delimiter, byte_span received, std::size_t seen) noexcept {
    const std::string_view text(reinterpret_cast<const char*>(received.data()), received.size());
    const std::size_t found = text.find(delimiter, seen - std::min(seen, delimiter.size() - 1));
    if (found == std::string_view::npos) return {};
    return {.size = found + delimiter.size(), .behind = delimiter.size()};
}

// A delimiter, which is not empty, behind each payload of at most `limit` bytes.
class delimited {
  public:
    explicit delimited(std::string delimiter, std::size_t limit)
        : delimiter_(std::move(delimiter))
        , limit_(limit) {}

    std::size_t longest() const noexcept { return limit_ + std::min(delimiter_.size(), ~limit_); }

    result<frame> find(byte_span received, std::size_t seen) const noexcept {
        if (delimiter_.empty()) return failure(fault::from_errno(EINVAL));
        return frame_up_to(delimiter_, received, seen);
    }

    class suffix {
      public:
        explicit suffix(byte_span bytes) noexcept
            : bytes_(bytes) {}
        byte_span before() const noexcept { return {}; }
        byte_span behind() const noexcept { return bytes_; }

      private:
        byte_span bytes_;
    };
    // errors: std::errc::invalid_argument for a payload that the receiver would find an end in
    result<suffix> around(byte_span payload) const noexcept {
        if (payload.size() > limit_) return failure(errc::too_long);
        if (delimiter_.empty() || ends_early(payload)) return failure(fault::from_errno(EINVAL));
        return suffix(bytes_of(delimiter_));
    }

  private:
    bool ends_early(byte_span payload) const noexcept {
        if (frame_up_to(delimiter_, payload, 0).size != frame::unknown) return true;
        // A delimiter may begin with what it ends with, and so may begin in the payload.
        const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
        const std::string_view whole = delimiter_;
        for (std::size_t inside = 1; inside < whole.size(); ++inside)
            if (text.ends_with(whole.substr(0, inside)) && whole.starts_with(whole.substr(inside)))
                return true;
        return false;
    }

    std::string delimiter_;
    std::size_t limit_;
};

} // namespace chainring
