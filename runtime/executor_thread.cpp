#include <chainring/runtime/cores.hpp>
#include <chainring/runtime/executor_thread.hpp>

#include <pthread.h>

#include <cstdio>
#include <utility>

namespace chainring {

executor_thread::executor_thread(
    runtime& within, kernel& behind, const options& given, std::function<void()> quiet)
    : options_(given)
    , quiet_(std::move(quiet))
    , thread_([this, &within, &behind] { main(within, behind); }) {}

void executor_thread::wait_until_made() {
    made_.wait();
    if (failure_) std::rethrow_exception(failure_);
}

void executor_thread::main(runtime& within, kernel& behind) noexcept {
    char name[16]; // what Linux takes
    std::snprintf(name, sizeof name, "chainring-%u", options_.number);
    ::pthread_setname_np(::pthread_self(), name);
    std::optional<pinned_thread> pinned;
    try {
        // On its own thread: its memory is that of its core.
        if (options_.core) pinned.emplace(*options_.core);
        executor_ = std::make_unique<executor>(options_.of_executor, behind);
        executor_->belongs_to(within, options_.number);
        shutdown_.emplace(*executor_, options_.shutdown);
        executor_->serve_until(
            [] { return true; }); // where the kernel refuses the ring to this thread, it is told here
    } catch (...) {
        failure_ = std::current_exception();
    }
    made_.count_down();
    if (!failure_) serve();
}

void executor_thread::serve() {
    executor& home = *executor_;
    home.serve_until([this] { return ending_; });
    home.refuse_work();
    {
        graceful_shutdown last(home, {.soft = {}, .hard = options_.shutdown.hard});
        if (home.has_tasks()) last.begin();
        home.serve_until([&home] { return !home.has_tasks(); });
    }
    quiet_();
    home.serve_until([this] { return leaving_; });
    shutdown_.reset();
    home.end();
}

} // namespace chainring
