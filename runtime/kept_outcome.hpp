// What a function left behind that ran on another thread: a value, an error, or an exception, which come out of the co_await.
#pragma once

#include <chainring/runtime/error.hpp>

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace chainring {

template <class Function> class kept_outcome {
    using returned = std::invoke_result_t<Function&>;

  public:
    using type = as_result<returned>;

    void run(Function& function) noexcept {
        try {
            if constexpr (std::is_void_v<returned>) {
                std::invoke(function);
                outcome_.emplace();
            } else if constexpr (is_result<returned>) {
                outcome_.emplace(std::invoke(function));
            } else {
                outcome_.emplace(std::in_place, std::invoke(function));
            }
        } catch (...) {
            exception_ = std::current_exception();
        }
    }

    // `refused`: it has not run.
    type take(fault refused) {
        if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
        if (refused) return failure(refused);
        return std::move(*outcome_);
    }

  private:
    std::optional<type> outcome_;
    std::exception_ptr exception_;
};

} // namespace chainring
