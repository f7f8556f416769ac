#include <chainring/runtime/task_tree.hpp>
#include <chainring/sim/resumption.hpp>

namespace chainring::sim {

std::string to_string(const resumption& shown) {
    std::string which =
        shown.wait != 0 ? "wait " + std::to_string(shown.wait) : std::string("a wait without a number");
    if (shown.where.line() == 0) return which;
    return which + ", " + std::string(short_name(shown.where.function_name())) + " at " +
           shown.where.file_name() + ':' + std::to_string(shown.where.line());
}

} // namespace chainring::sim
