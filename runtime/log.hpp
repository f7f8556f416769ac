// chainring is silent until it is given a logger:
// chainring::set_logger(spdlog::stderr_color_mt("chainring"));
#pragma once

#include <spdlog/logger.h>

#include <memory>

namespace chainring {

// Call it before the first executor is made. An empty pointer makes the library silent again.
void set_logger(std::shared_ptr<spdlog::logger> logger);

// Never null; drops everything unless a logger was set.
spdlog::logger& log() noexcept;

} // namespace chainring
