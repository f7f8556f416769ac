// Two generators, one behind the other, and a reader that waits for what never comes.
#include <chainring/chainring.hpp>

#include <cstdio>

namespace cr = chainring;

namespace {

cr::async_generator<int> numbers() {
    co_yield 1;
    std::puts("listening on nothing");
    std::fflush(stdout);
    (void)co_await cr::timeout(std::chrono::hours(1), cr::sleep(std::chrono::hours(2)));
}

cr::async_generator<int> doubled() {
    auto all = numbers();
    while (int* each = co_await all.next()) co_yield 2 * *each;
}

cr::task<> consume() {
    auto all = doubled();
    while (int* each = co_await all.next()) (void)each;
}

} // namespace

int main() {
    return cr::runtime{}.run(consume());
}
