// framed: whole messages over a stream of bytes, by a codec.
//
//     cr::framed link(peer, cr::length_prefixed<std::uint32_t>{.limit = 65'536});
//     while (const auto message = co_await cr::try_(link.receive()))       // ends where the stream does
//         co_await cr::try_(link.send(*message));
#pragma once

#include <chainring/net/buffered_reader.hpp>
#include <chainring/net/shared_message.hpp>
#include <chainring/net/write_operation.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chainring {

// `send` takes a message in several pieces, confirmed, and `write` buffered.
template <class Stream>
concept byte_stream = byte_source<Stream> && requires(Stream& over, byte_spans pieces) {
    requires detail::awaitable<decltype(over.send(pieces))>;
    requires detail::awaitable<decltype(over.write(pieces))>;
};

template <byte_stream Stream, message_codec Codec> class framed {
  public:
    // The stream must outlive it, and stay where it is.
    framed(Stream& over, Codec codec) noexcept
        : over_(over)
        , codec_(std::move(codec))
        , reader_(over) {}
    framed(const framed&) = delete;
    framed& operator=(const framed&) = delete;

    // The payload of the next message; none where the stream has ended behind one.
    //
    // completes when: all of it is there
    // errors:         errc::cut_off: the stream has ended in the middle of a message; errc::too_long; errc::bad_frame: the codec is
    //                 wrong; errc::busy while another task receives; those of the codec and of the stream
    // cancellation:   as of the stream's receive; what was received is kept for the next one
    // ownership:      the view is valid until the next receive, or call of `reader`, and its end
    // thread:         the executor's
    task<result<std::optional<message_view>>> receive() {
        const result<message_view> next = co_await reader_.read_message(codec_);
        if (next) co_return std::optional(*next);
        if (next.error() == errc::end_of_stream) co_return std::optional<message_view>();
        co_return failure(next.error());
    }

    // Sends a payload with what the codec puts around it, as one message of the stream. The payload is not copied.
    //
    // completes when: the batch that carried it is complete
    // errors:         of the codec, before anything is sent: errc::too_long; std::errc::invalid_argument. Else those of the
    //                 stream's send
    // cancellation:   as of the stream's send
    // ownership:      a lease, a string, a vector and a share move into the task; bytes and text are borrowed, must live until
    //                 completion, and destroying the task waits for the kernel
    // thread:         the executor's. Of several tasks the order on the wire is that in which they are awaited.
    task<result<void>> send(byte_span payload) { return send_payload(payload); }
    task<result<void>> send(std::string_view payload) { return send_payload(payload); }
    task<result<void>> send(buffer&& payload) { return send_payload(std::move(payload)); }
    task<result<void>> send(std::same_as<std::string> auto&& payload) {
        return send_payload(std::forward<decltype(payload)>(payload));
    }
    task<result<void>> send(std::same_as<std::vector<std::byte>> auto&& payload) {
        return send_payload(std::forward<decltype(payload)>(payload));
    }
    task<result<void>> send(shared_message payload) { return send_payload(std::move(payload)); }

    // The same, buffered: all of it is copied into the queue.
    //
    // completes when, errors, cancellation, thread: as of the stream's write; errors of the codec as above
    // ownership:      the payload is borrowed until completion
    task<result<void>> write(byte_span payload) {
        auto around = codec_.around(payload);
        if (!around) co_return failure(around.error());
        const std::array<byte_span, 3> pieces{around->before(), payload, around->behind()};
        co_return co_await over_.write(byte_spans(pieces));
    }
    task<result<void>> write(std::string_view payload) {
        return write(std::as_bytes(std::span(payload.data(), payload.size())));
    }

    // For what is no message: a greeting before the first, or another protocol behind the last.
    buffered_reader<Stream>& reader() noexcept { return reader_; }
    Codec& codec() noexcept { return codec_; }

  private:
    static byte_span bytes_in(std::string_view text) noexcept {
        return std::as_bytes(std::span(text.data(), text.size()));
    }
    template <class Payload> static byte_span bytes_in(const Payload& payload) noexcept {
        return bytes_of(payload);
    }

    template <class Payload> task<result<void>> send_payload(Payload payload) {
        auto around = codec_.around(bytes_in(payload));
        if (!around) co_return failure(around.error());
        const std::array<byte_span, 3> pieces{around->before(), bytes_in(payload), around->behind()};
        const result<std::size_t> sent = co_await over_.send(byte_spans(pieces));
        if (!sent) co_return failure(sent.error());
        co_return result<void>();
    }

    Stream& over_;
    Codec codec_;
    buffered_reader<Stream> reader_;
};

} // namespace chainring
