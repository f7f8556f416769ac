#include <chainring/runtime/log.hpp>
#include <chainring/runtime/runtime.hpp>

#include <spdlog/logger.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

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

unsigned executors_wanted_by(const runtime_options& options) {
    const std::size_t pinned = options.pinned_to.size();
    if (options.threads == 0U)
        throw std::invalid_argument("runtime_options::threads is 0: a runtime has one executor at least");
    if (options.threads && pinned != 0 && pinned != *options.threads)
        throw std::invalid_argument(
            "runtime_options::pinned_to has " + std::to_string(pinned) + " cores for " +
            std::to_string(*options.threads) + " threads; give one for each");
    const std::vector<unsigned> usable = cores_of_this_thread();
    for (const unsigned core : options.pinned_to)
        if (std::ranges::find(usable, core) == usable.end())
            throw std::invalid_argument(
                "runtime_options::pinned_to: core " + std::to_string(core) +
                " is not among those that this thread may use (sched_getaffinity)");
    if (pinned != 0) return static_cast<unsigned>(pinned);
    return options.threads ? *options.threads : usable_cores();
}

// The parent's threads, of which a forked child has only the memory.
constinit const void* left_to_the_parent = nullptr;

} // namespace

runtime& this_runtime() {
    if (runtime* const whole = this_executor().within()) return *whole;
    throw std::logic_error("this executor belongs to no runtime");
}

runtime::runtime(const runtime_options& options, kernel& behind)
    : options_(options)
    , size_(executors_wanted_by(options))
    , executor_(options.executor, behind)
    , shutdown_(executor_, options.shutdown) {
    executor_.belongs_to(*this, 0);
}

runtime::~runtime() {
    if (others_.empty()) return;
    if (executor_.forked()) {
        left_to_the_parent = new std::vector(std::move(others_));
        return;
    }
    executor_.refuse_work();
    executor_.destroy_tasks();
    for (const auto& each : others_) each->end_tasks();
    executor_.serve_until([this] { return quiet_ == others_.size(); });
    for (const auto& each : others_) each->leave();
    for (const auto& each : others_) each->join();
    executor_.end();
    run_last_posts();
}

// No thread is left that could post, but what runs may.
void runtime::run_last_posts() {
    for (bool more = true; std::exchange(more, false);) {
        more = executor_.run_last_posts();
        for (const auto& each : others_) more = each->home().run_last_posts() || more;
    }
}

executor& runtime::at(unsigned number) {
    if (number >= size_)
        throw std::out_of_range(
            "there is no executor " + std::to_string(number) + " among " + std::to_string(size_));
    if (number == 0) return executor_;
    if (!started_.load(std::memory_order_acquire)) {
        const std::lock_guard lock(starting_);
        if (others_.empty()) start_the_others();
    }
    return others_[number - 1]->home();
}

void runtime::start_the_others() {
    executor_.behind().about_to_leave("threads of a runtime (runtime::at, for_each_executor)");
    // Where they are pinned this thread has one core.
    if (const unsigned cores = usable_cores(); options_.pinned_to.empty() && size_ > cores)
        log().warn("a runtime has {} executors on {} cores", size_, cores);
    const auto told = [this] { executor_.post([this] { ++quiet_; }); };
    std::vector<std::unique_ptr<executor_thread>> made;
    std::exception_ptr failure;
    try {
        for (unsigned number = 1; number < size_; ++number) {
            executor_thread::options given{
                .of_executor = options_.executor,
                .shutdown = options_.shutdown,
                .core = {},
                .number = number};
            if (!options_.pinned_to.empty()) given.core = options_.pinned_to[number];
            made.push_back(std::make_unique<executor_thread>(*this, executor_.behind(), given, told));
        }
    } catch (...) {
        failure = std::current_exception();
    }
    std::vector<executor_thread*> serving;
    for (const auto& each : made) {
        try {
            each->wait_until_made();
            serving.push_back(each.get());
        } catch (...) {
            failure = std::current_exception();
        }
    }
    if (failure) {
        for (executor_thread* const each : serving) each->leave_at_once();
        made.clear();
        std::rethrow_exception(failure);
    }
    others_ = std::move(made);
    started_.store(true, std::memory_order_release);
    if (shutting_down_)
        for (const auto& each : others_) each->begin_shutdown();
}

void runtime::shut_down_the_others() {
    const std::lock_guard lock(starting_);
    if (std::exchange(shutting_down_, true)) return;
    for (const auto& each : others_) each->begin_shutdown();
}

void runtime::begin_shutdown() {
    executor_.post([this] {
        shutdown_.begin();
        shut_down_the_others();
    });
}

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
