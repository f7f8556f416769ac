#include <chainring/runtime/log.hpp>
#include <chainring/sync/wait_queue.hpp>

#include <spdlog/logger.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace chainring {

void wait_queue_base::destroyed_with_waiters() noexcept {
    const char* const article = std::strchr("aeiou", *primitive_) != nullptr ? "an " : "a ";
    std::string text = std::string(article) + primitive_ + " was destroyed while it was waited for by";
    waiting_.for_each([&text](const queued& each) { text += "\n  " + each.who(); });
    log().critical("{}", text);
#ifndef NDEBUG
    std::fprintf(stderr, "%s\n", text.c_str());
    std::abort();
#endif
}

} // namespace chainring
