// Somebody else's function object, for as long as it lives: what a test hands to something that calls it and returns, or to a
// coroutine that it awaits at once. std::function would be a dozen more functions to compile for each lambda.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace chainring::test {

template <class Result> class function_ref {
  public:
    template <class Function>
        requires(!std::same_as<std::remove_cvref_t<Function>, function_ref>)
    function_ref(
        Function&& given) noexcept // NOLINT(google-explicit-constructor): a lambda is passed as it is
        : object_(std::addressof(given))
        , call_([](const void* object) -> Result {
            return (*static_cast<const std::remove_reference_t<Function>*>(object))();
        }) {}

    Result operator()() const { return call_(object_); }

  private:
    const void* object_;
    Result (*call_)(const void*);
};

} // namespace chainring::test
