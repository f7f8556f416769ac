#include <chainring/runtime/runtime.hpp>

#include <cstdio>

namespace chainring {

namespace {

int report(const std::error_code& error) {
    if (error == errc::cancelled) return 0;
    std::fprintf(stderr, "error: %s\n", error.message().c_str());
    return 1;
}

// `run()` gives the status.
template <class Run> int or_overdue(Run run) {
    try {
        return run();
    } catch (const shutdown_overdue& overdue) {
        std::fprintf(stderr, "error: %s\n", overdue.what());
        return 1;
    }
}

} // namespace

runtime::runtime(const runtime_options& options, kernel& behind)
    : executor_(options.executor, behind)
    , stop_on_signals_(options.stop_on_signals)
    , shutdown_(options.shutdown) {}

int runtime::run(task<void> root) {
    return or_overdue([&] {
        block_on(std::move(root));
        return 0;
    });
}

int runtime::run(task<int> root) {
    return or_overdue([&] { return block_on(std::move(root)); });
}

int runtime::run(task<result<void>> root) {
    return or_overdue([&] {
        const result<void> outcome = block_on(std::move(root));
        return outcome ? 0 : report(outcome.error());
    });
}

int runtime::run(task<result<int>> root) {
    return or_overdue([&] {
        const result<int> outcome = block_on(std::move(root));
        return outcome ? *outcome : report(outcome.error());
    });
}

} // namespace chainring
