// Errors are values: every operation returns result<T>, and an errno becomes a std::error_code here and
// nowhere else.
#pragma once

#include <cerrno>
#include <expected>
#include <system_error>

namespace chainring {

// What chainring itself has to report. Errors of the kernel keep their errno, in std::system_category(), so
// that `error == std::errc::connection_refused` works as everywhere else.
enum class errc {
    cancelled = 1, // the scope was cancelled before the operation had an effect
    timed_out,     // a deadline passed before the operation had an effect
    closed, // this side closed the connection (or its sending half), the listener, the pool of threads or the channel
    broken,        // a send on this connection, this one or an earlier one, fell short: the stream has ended
    never_started, // a message that was queued behind a failed one: nothing of it was sent
    busy,          // an operation of this kind is already waiting on this object
    invalid_endpoint,     // the text is not an endpoint
    path_too_long,        // a unix socket's path has at most 107 bytes
    queue_full,           // nothing more may wait: the peer reads too slowly, or a pool's threads are busy
    queue_empty,          // nothing is there to receive yet
    lagged,               // values of a broadcast were missed, because others came too fast
    empty_message,        // a record without bytes, which its receiver would take for the end
    signal_taken,         // something else in the process handles or blocks the signal already
    value_taken,          // what a child returned was handed out before
    already_owned,        // a descriptor that belongs to a stream or a listener of this executor
    is_listening,         // a listening socket that should be a connected one
    not_listening,        // a socket that should be a listening one
    too_many_descriptors, // a message brought more than there was room for, and those were closed
    receives_ahead, // a receive has begun before, which loses the descriptors of what it takes ahead of its caller
    unsupported_sqe_flag, // a flag on a hand-made SQE that the executor cannot account for
    never_called,         // a callback that is awaited was destroyed instead of called
    end_of_stream,        // the peer has ended the stream, and nothing was left to read
    cut_off,              // the peer has ended the stream in the middle of what was to be read
    too_long,             // a message is longer than the limit for it
    bad_frame,            // a codec told of a message that has no bytes, or fewer than go around its payload
    executor_ended,       // the executor has ended, or is about to: it takes no more work
};

const std::error_category& category() noexcept;
std::error_code make_error_code(errc condition) noexcept;

// `error` is a positive errno.
std::error_code from_errno(int error) noexcept;

// An error inside the library: an errno or an errc in one word. It becomes a std::error_code where a user
// sees it; making one of those costs a call, and operations that succeed carry an error too.
class fault {
  public:
    constexpr fault() noexcept = default; // none
    constexpr fault(errc condition) noexcept
        : value_(-static_cast<int>(condition)) {}
    // `result` is negative, -errno.
    static constexpr fault from_result(int result) noexcept {
        return result == -ECANCELED ? fault(errc::cancelled) : fault(-result);
    }
    static constexpr fault from_errno(int error) noexcept { return fault(error); }

    constexpr explicit operator bool() const noexcept { return value_ != 0; }
    friend constexpr bool operator==(fault, fault) noexcept = default;
    std::error_code code() const noexcept {
        return value_ > 0 ? chainring::from_errno(value_) : make_error_code(static_cast<errc>(-value_));
    }

  private:
    constexpr explicit fault(int error) noexcept
        : value_(error) {}
    int value_ = 0; // an errno, or an errc negated
};

template <class T> using result = std::expected<T, std::error_code>;

inline std::unexpected<std::error_code> failure(std::error_code error) noexcept {
    return std::unexpected(error);
}
inline std::unexpected<std::error_code> failure(errc condition) noexcept {
    return std::unexpected(make_error_code(condition));
}
inline std::unexpected<std::error_code> failure(fault happened) noexcept {
    return std::unexpected(happened.code());
}

// What a call behind the seam returned: a value, or -errno.
inline result<int> from_return(int returned) noexcept {
    if (returned < 0) return failure(from_errno(-returned));
    return returned;
}

template <class T> inline constexpr bool is_result = false;
template <class T> inline constexpr bool is_result<result<T>> = true;

namespace detail {
template <class T> struct result_of {
    using type = result<T>;
};
template <class T> struct result_of<result<T>> {
    using type = result<T>;
};
} // namespace detail
// T if that is a result already.
template <class T> using as_result = detail::result_of<T>::type;

} // namespace chainring

template <> struct std::is_error_code_enum<chainring::errc> : std::true_type {};
