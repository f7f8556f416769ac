#include <chainring/sim/log_file.hpp>

#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace chainring::sim {

wanted_log::wanted_log(world& of)
    : of_(of) {
    const char* const log = std::getenv("CHAINRING_SIM_LOG");
    if (log == nullptr) return;
    if (std::string_view(log) != "-") {
        file_.open(log);
        if (!file_) throw std::invalid_argument(std::string("CHAINRING_SIM_LOG can't be written: ") + log);
    }
    of.log_to(file_.is_open() ? &file_ : &std::cout);
}

std::optional<std::vector<std::uint32_t>> wanted_replay() {
    const char* const log = std::getenv("CHAINRING_SIM_REPLAY");
    if (log == nullptr) return std::nullopt;
    std::ifstream file(log);
    if (!file) throw std::invalid_argument(std::string("CHAINRING_SIM_REPLAY can't be read: ") + log);
    return read_choices(file);
}

} // namespace chainring::sim
