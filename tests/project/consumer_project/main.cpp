// A program outside the tree that uses an installed chainring.
#include <chainring/chainring.hpp>

#include <cstdio>

namespace cr = chainring;

namespace {

cr::task<int> answer() {
    co_return 42;
}

cr::task<int> ask() {
    co_return co_await answer() == 42 ? 0 : 1;
}

} // namespace

int main() {
    cr::set_logger(nullptr); // declared without spdlog's headers
    const int status = cr::runtime{}.run(ask());
    std::puts(status == 0 ? "the consumer ran" : "the consumer failed");
    return status;
}
