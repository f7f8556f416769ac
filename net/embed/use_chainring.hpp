// use_chainring: a completion token with which tasks await operations of Boost.Asio, on the thread that runs both.
//
//     boost::asio::steady_timer timer(loop, 1s);
//     const cr::result<void> waited = co_await timer.async_wait(cr::use_chainring);
//     const cr::result<std::size_t> read = co_await port.async_read_some(bytes, cr::use_chainring);
//
// What it yields follows from the completion's signature: an error_code in front becomes the error of a result, an exception_ptr comes
// out of the co_await, and the rest is the value: void, the only one, or a tuple. boost::asio::as_tuple(cr::use_chainring) keeps the
// error_code beside the values, for who must know how many bytes an operation has moved that failed.
//
// completes when: the operation does, in one of the executor's next turns. It starts when it is awaited
// errors:         the operation's, with boost's categories as those of the standard; boost::asio::error::operation_aborted is
//                 errc::cancelled
// cancellation:   passes through the operation's cancellation slot (of every type: the operation takes what it knows), and what it
//                 completes with decides. One that looks at no slot goes on to its end
// ownership:      as with any token: the object and the buffers must live until completion. Destroying the operation cancels it
//                 without waiting, after which Asio's reactor does not touch the buffers
// thread:         the executor's, which runs the io_context
#pragma once

#include <chainring/runtime/from_callback.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>

#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace chainring {

struct use_chainring_t {};
inline constexpr use_chainring_t use_chainring;

namespace detail {

template <class... Values> struct asio_value {
    using type = std::tuple<Values...>;
};
template <class Value> struct asio_value<Value> {
    using type = Value;
};
template <> struct asio_value<> {
    using type = void;
};

inline std::error_code from_asio(const boost::system::error_code& error) noexcept {
    return error == boost::asio::error::operation_aborted ? make_error_code(errc::cancelled)
                                                          : static_cast<std::error_code>(error);
}

// How the arguments of a completion, decayed, end an await.
template <class... Values> struct asio_completion {
    using value = asio_value<Values...>::type;
    static void end(const callback<value>& await, Values... values) {
        if constexpr (sizeof...(Values) == 0)
            await();
        else
            await(value(std::move(values)...));
    }
};
template <class... Values> struct asio_completion<boost::system::error_code, Values...> {
    using value = asio_value<Values...>::type;
    static void end(const callback<value>& await, const boost::system::error_code& error, Values... values) {
        if (error)
            await.fail(from_asio(error));
        else
            asio_completion<Values...>::end(await, std::move(values)...);
    }
};
template <class... Values> struct asio_completion<std::exception_ptr, Values...> {
    using value = asio_value<Values...>::type;
    static void end(const callback<value>& await, std::exception_ptr exception, Values... values) {
        if (exception)
            await.raise(std::move(exception));
        else
            asio_completion<Values...>::end(await, std::move(values)...);
    }
};

template <class Completion> struct asio_handler {
    using cancellation_slot_type = boost::asio::cancellation_slot;
    cancellation_slot_type get_cancellation_slot() const noexcept { return cancelled->slot(); }

    template <class... Values> void operator()(Values&&... values) const {
        Completion::end(await, std::forward<Values>(values)...);
    }

    callback<typename Completion::value> await;
    std::shared_ptr<boost::asio::cancellation_signal> cancelled; // its slot must outlive the operation
};

} // namespace detail

} // namespace chainring

template <class... Arguments>
class boost::asio::async_result<chainring::use_chainring_t, void(Arguments...)> {
    using completion = chainring::detail::asio_completion<std::decay_t<Arguments>...>;
    using value = completion::value;

  public:
    template <class Initiation, class... Given>
    static auto initiate(Initiation&& initiation, const chainring::use_chainring_t&, Given&&... given) {
        auto cancelled = std::make_shared<cancellation_signal>();
        auto start = [cancelled, initiation = std::decay_t<Initiation>(std::forward<Initiation>(initiation)),
                      arguments = std::tuple<std::decay_t<Given>...>(std::forward<Given>(given)...)](
                         chainring::callback<value> await) mutable {
            std::apply(
                [&](auto&... each) {
                    std::move(initiation)(
                        chainring::detail::asio_handler<completion>{std::move(await), std::move(cancelled)},
                        std::move(each)...);
                },
                arguments);
        };
        auto cancel = [cancelled] { cancelled->emit(cancellation_type::all); };
        return chainring::from_callback<value>(std::move(start), std::move(cancel));
    }
};
