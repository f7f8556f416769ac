#include <chainring/runtime/log.hpp>
#include <chainring/sync/channel_state.hpp>

#include <spdlog/logger.h>

namespace chainring::detail {

void log_lost_value() noexcept {
    log().error("a value is lost: moving it back into its channel threw");
}

} // namespace chainring::detail
