// Runs something on a thread whose stack is too small for recursion.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <pthread.h>

#include <concepts>
#include <cstddef>
#include <exception>

namespace chainring::test {

// An exception of `work` comes out of here.
template <std::invocable Work> void run_on_small_stack(Work work) {
    struct shared {
        Work& work;
        std::exception_ptr exception;
    } state{work, nullptr};

    pthread_attr_t attributes;
    REQUIRE(::pthread_attr_init(&attributes) == 0);
    REQUIRE(::pthread_attr_setstacksize(&attributes, std::size_t{256} * 1024) == 0);
    pthread_t thread;
    const int created = ::pthread_create(
        &thread, &attributes,
        [](void* argument) -> void* {
            auto& given = *static_cast<shared*>(argument);
            try {
                given.work();
            } catch (...) {
                given.exception = std::current_exception();
            }
            return nullptr;
        },
        &state);
    ::pthread_attr_destroy(&attributes);
    REQUIRE(created == 0);
    ::pthread_join(thread, nullptr);
    if (state.exception) std::rethrow_exception(state.exception);
}

} // namespace chainring::test
