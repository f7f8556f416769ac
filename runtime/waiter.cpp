#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/waiter.hpp>

namespace chainring {

void waiter::goes_last(wait_site& caller, executor& home) noexcept {
    suspended_ = &caller;
    caller.suspend(*this, home.now());
    home.ready().push(*this);
}

} // namespace chainring
