#include <chainring/runtime/error.hpp>

#include <string>

namespace chainring {

namespace {

class chainring_category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "chainring"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::cancelled: return "cancelled";
        case errc::timed_out: return "deadline passed";
        case errc::closed: return "closed by this side";
        case errc::broken:
            return "a send on this connection has failed or was cut short, and nothing can follow it";
        case errc::never_started: return "not sent: a message before it on the same connection failed";
        case errc::busy: return "another task already waits for the same thing on this object";
        case errc::invalid_endpoint:
            return "not an endpoint; expected 127.0.0.1:7000, [::1]:7000, unix:/path or unix:@name";
        case errc::path_too_long: return "a unix socket path has at most 107 bytes";
        case errc::queue_full:
            return "the queue is full: the peer reads too slowly, or too much blocking work waits; "
                   "try again later";
        case errc::queue_empty: return "nothing is there yet; receive waits for it";
        case errc::lagged:
            return "values were missed: others were sent faster than they were received; missed() says how "
                   "many";
        case errc::empty_message:
            return "an empty message cannot be told from the end of the connection; send at least one byte";
        case errc::signal_taken: return "something else in this process handles or blocks the signal already";
        case errc::value_taken: return "what this child returned was handed out before; keep it there";
        case errc::already_owned:
            return "the descriptor belongs to a stream or a listener of this executor; hand that over "
                   "instead";
        case errc::is_listening: return "the socket listens; adopt it as a listener";
        case errc::not_listening:
            return "the socket does not listen; call listen(2) first, or adopt it as a stream";
        case errc::too_many_descriptors:
            return "more descriptors came than there was room for; those were closed";
        case errc::receives_ahead:
            return "receive() takes bytes ahead of its caller, and loses their descriptors; on this "
                   "connection "
                   "use receive_fd and receive_into alone";
        case errc::unsupported_sqe_flag:
            return "links, CQE_SKIP_SUCCESS and buffer selection are not allowed on a hand-made SQE";
        case errc::never_called:
            return "the callback that was awaited was destroyed without having been called";
        case errc::end_of_stream: return "the peer has ended the stream";
        case errc::cut_off:
            return "the peer has ended the stream in the middle of a message; read_some gets what came of it";
        case errc::too_long: return "a message is longer than its limit";
        case errc::bad_frame: return "a codec told of a message that cannot be";
        case errc::executor_ended: return "the executor has ended, or is about to; it takes no more work";
        }
        return "unknown chainring error";
    }

    // So that portable comparisons (error == std::errc::operation_canceled) hold for our own conditions too.
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
        case errc::cancelled: return std::errc::operation_canceled;
        case errc::timed_out: return std::errc::timed_out;
        case errc::closed: return std::errc::bad_file_descriptor;
        case errc::broken: return std::errc::broken_pipe;
        case errc::busy: return std::errc::device_or_resource_busy;
        case errc::queue_full:
        case errc::queue_empty: return std::errc::operation_would_block;
        case errc::invalid_endpoint:
        case errc::empty_message: return std::errc::invalid_argument;
        case errc::already_owned: return std::errc::device_or_resource_busy;
        case errc::is_listening:
        case errc::not_listening: return std::errc::invalid_argument;
        case errc::path_too_long: return std::errc::filename_too_long;
        case errc::too_long: return std::errc::message_size;
        default: return {value, *this};
        }
    }
};

} // namespace

const std::error_category& category() noexcept {
    static const chainring_category instance;
    return instance;
}

std::error_code make_error_code(errc condition) noexcept {
    return {static_cast<int>(condition), category()};
}

std::error_code from_errno(int error) noexcept {
    return {error, std::system_category()};
}

} // namespace chainring
