#include <chainring/runtime/log.hpp>

#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <utility>

namespace chainring {

namespace {

std::shared_ptr<spdlog::logger> silent() {
    auto logger =
        std::make_shared<spdlog::logger>("chainring", std::make_shared<spdlog::sinks::null_sink_mt>());
    logger->set_level(spdlog::level::off);
    return logger;
}

std::shared_ptr<spdlog::logger>& current() {
    static std::shared_ptr<spdlog::logger> logger = silent();
    return logger;
}

} // namespace

void set_logger(std::shared_ptr<spdlog::logger> logger) {
    current() = logger ? std::move(logger) : silent();
}

spdlog::logger& log() noexcept {
    return *current();
}

} // namespace chainring
