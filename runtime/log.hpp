// chainring is silent until it is given a logger of spdlog's:
//
//     #include <spdlog/sinks/stdout_color_sinks.h>
//     chainring::set_logger(spdlog::stderr_color_mt("chainring"));
//
// Only a program that does so needs spdlog's headers and library itself.
#pragma once

#include <memory>

namespace spdlog {
class logger;
}

namespace chainring {

// Call it before the first executor is made. An empty pointer makes the library silent again.
void set_logger(std::shared_ptr<spdlog::logger> logger);

// Never null; drops everything unless a logger was set.
spdlog::logger& log() noexcept;

} // namespace chainring
