// buffered_reader: takes lines and messages out of a stream of bytes, however they arrive.
//
//     cr::buffered_reader reader(peer);
//     const auto header = co_await cr::try_(reader.read_until("\r\n\r\n", 8192));
//     const auto body = co_await cr::try_(reader.read_exactly(length_in(header.text())));
//
// What it hands out is a view, valid until the next call on the reader and its end. Bytes that arrived in one block are seen
// where they were received; a message that arrived in several is copied once, to be in one piece.
#pragma once

#include <chainring/net/codec.hpp>
#include <chainring/net/message_view.hpp>
#include <chainring/net/read_buffer.hpp>
#include <chainring/runtime/scoped_await.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

namespace chainring {

// A stream of bytes: `receive` yields the next ones as a lease, and an empty one at the end. tcp_stream, unix_stream, or in
// tests a double of yours.
template <class Stream>
concept byte_source = requires(Stream& from) {
    requires detail::awaitable<decltype(from.receive())>;
    {
        std::declval<detail::waiter_for<decltype(from.receive())>&>().await_resume()
    } -> std::same_as<result<buffer>>;
};

// Of each read, unless it says otherwise:
//
// completes when: what was asked for is there, in one piece
// errors:         errc::end_of_stream: the stream has ended, and nothing was left; errc::cut_off: it has ended in the middle of
//                 what was asked for; errc::too_long: that is longer than the limit; errc::busy while another task reads; those of
//                 the stream. All that was received is still there then, for another read.
// cancellation:   as of the stream's receive; what was received is kept for the next read
// ownership:      the stream must outlive the reader and stay where it is, and nobody else may receive from it. What is waited
//                 for occupies no block of the executor's pool, and where nothing of it has arrived no memory.
// thread:         the executor's
template <byte_source Stream> class buffered_reader {
  public:
    // `limit`: the most bytes that read_exactly and peek may be asked for; else errc::too_long.
    explicit buffered_reader(Stream& from, std::size_t limit = std::size_t{1} << 20) noexcept
        : from_(from)
        , limit_(limit) {}
    buffered_reader(const buffered_reader&) = delete;
    buffered_reader& operator=(const buffered_reader&) = delete;

    // The next `size` bytes.
    task<result<message_view>> read_exactly(std::size_t size) {
        return read_by(counted{std::min(size, frame::unknown - 1), limit_});
    }

    // What comes before the delimiter, at most `limit` bytes; the delimiter is taken too. It must stay until completion, and not
    // be empty (std::errc::invalid_argument).
    task<result<message_view>> read_until(std::string_view delimiter, std::size_t limit) {
        return read_by(up_to{delimiter, limit});
    }

    // A line without its end, "\n" or "\r\n"; at most `limit` bytes. A last line that has no end is errc::cut_off, and
    // read_some gets it.
    task<result<message_view>> read_line(std::size_t limit) { return read_by(line{limit}); }

    // The payload of the next message. The codec must stay until completion.
    template <finds_messages Codec> task<result<message_view>> read_message(Codec& codec) {
        return read_by(by_codec<Codec>{codec});
    }

    // What is there, or what comes next: at least a byte, and at most `most`; an empty view at the end of the stream.
    task<result<message_view>> read_some(std::size_t most = std::size_t(-1)) {
        const turn mine(*this);
        if (mine.refused()) co_return failure(errc::busy);
        while (bytes_.empty()) {
            result<buffer> more = co_await after(0);
            if (more && more->empty()) co_return message_view();
            if (const std::error_code error = add(more)) co_return failure(error);
        }
        co_return message_view(bytes_.take(std::min(most, bytes_.size_at_hand())));
    }

    // The next `size` bytes, which are there for the next read too; fewer at the end of the stream.
    task<result<message_view>> peek(std::size_t size) {
        const turn mine(*this);
        if (mine.refused()) co_return failure(errc::busy);
        if (size > limit_) co_return failure(errc::too_long);
        while (bytes_.size() < size) {
            result<buffer> more = co_await after(size);
            if (more && more->empty()) break;
            if (const std::error_code error = add(more)) co_return failure(error);
        }
        co_return message_view(bytes_.first(std::min(size, bytes_.size())));
    }

    // Throws the next `size` bytes away. The value is how many it has thrown away: fewer, where behind them the stream ended or
    // failed, or the task was cancelled; the next read tells.
    task<result<std::size_t>> skip(std::size_t size) {
        const turn mine(*this);
        if (mine.refused()) co_return failure(errc::busy);
        std::size_t skipped = 0;
        for (;;) {
            const std::size_t there = std::min(size - skipped, bytes_.size());
            bytes_.drop(there);
            skipped += there;
            if (skipped == size) co_return skipped;
            result<buffer> more = co_await after(0);
            if (const std::error_code error = add(more)) {
                if (skipped != 0) co_return skipped;
                co_return failure(error);
            }
        }
    }

    // Bytes that were received and not handed out.
    std::size_t buffered() const noexcept { return bytes_.left(); }

  private:
    // What each of the reads looks for.
    struct counted {
        std::size_t size;
        std::size_t most;
        std::size_t longest() const noexcept { return most; }
        result<frame> find(byte_span, std::size_t) const noexcept { return frame{.size = size}; }
    };
    struct up_to {
        std::string_view delimiter;
        std::size_t limit;
        std::size_t longest() const noexcept { return limit + std::min(delimiter.size(), ~limit); }
        result<frame> find(byte_span received, std::size_t seen) const noexcept {
            if (delimiter.empty()) return failure(fault::from_errno(EINVAL));
            return frame_up_to(delimiter, received, seen);
        }
    };
    struct line {
        std::size_t limit;
        std::size_t longest() const noexcept { return limit + std::min(std::size_t{2}, ~limit); }
        result<frame> find(byte_span received, std::size_t seen) const noexcept {
            frame found = frame_up_to("\n", received, seen);
            if (found.size == frame::unknown) return found;
            if (found.size >= 2 && received[found.size - 2] == std::byte{'\r'}) ++found.behind;
            if (found.size - found.behind > limit) return failure(errc::too_long);
            return found;
        }
    };
    template <class Codec> struct by_codec {
        Codec& codec;
        std::size_t longest() const { return codec.longest(); }
        result<frame> find(byte_span received, std::size_t seen) const {
            const result<frame> found = codec.find(received, seen);
            if (found && !is_possible(*found)) return failure(errc::bad_frame);
            return found;
        }
        // One without bytes would be found again and again.
        static bool is_possible(const frame& found) noexcept {
            return found.size != 0 && found.before <= found.size && found.behind <= found.size - found.before;
        }
    };

    // Of the one task that reads. What was handed out before is let go.
    class turn {
      public:
        explicit turn(buffered_reader& of) noexcept
            : of_(of)
            , refused_(std::exchange(of.busy_, true)) {
            if (!refused_) of.bytes_.let_go();
        }
        ~turn() {
            if (!refused_) of_.busy_ = false;
        }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        bool refused() const noexcept { return refused_; }

      private:
        buffered_reader& of_;
        bool refused_;
    };

    template <class Finder> task<result<message_view>> read_by(Finder finder) {
        const turn mine(*this);
        if (mine.refused()) co_return failure(errc::busy);
        const std::size_t longest = finder.longest();
        std::size_t seen = 0;
        frame found;
        for (;;) {
            if (found.size == frame::unknown) {
                const byte_span received = bytes_.first(bytes_.size());
                const result<frame> told = finder.find(received, seen);
                if (!told) co_return failure(told.error());
                found = *told;
                seen = received.size();
                if (found.size == frame::unknown ? seen >= longest : found.size > longest)
                    co_return failure(errc::too_long);
            }
            if (bytes_.size() >= found.size) break;
            result<buffer> more = co_await after(found.size == frame::unknown ? 0 : found.size);
            if (const std::error_code error = add(more)) co_return failure(error);
        }
        const byte_span whole = bytes_.take(found.size);
        co_return message_view(whole.subspan(found.before, found.size - found.before - found.behind));
    }

    // `expected`: bytes that there will be together with those that are there, if that is known.
    auto after(std::size_t expected) {
        bytes_.join(expected);
        return from_.receive();
    }

    std::error_code add(result<buffer>& more) noexcept {
        if (!more) return more.error();
        if (more->empty()) return bytes_.empty() ? errc::end_of_stream : errc::cut_off;
        bytes_.add(std::move(*more));
        return {};
    }

    Stream& from_;
    std::size_t limit_;
    read_buffer bytes_;
    bool busy_ = false;
};

} // namespace chainring
