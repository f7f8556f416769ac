// For tests of what ends the process.
#pragma once

#include "simulation.hpp"

#include <sys/wait.h>

#include <csignal>
#include <cstdio>

namespace chainring::test {

// What a process says that runs `body`, which must abort it.
template <class Body> std::string last_words(Body body) {
    std::FILE* const said = std::tmpfile();
    REQUIRE(said != nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGABRT, SIG_DFL);
        ::dup2(::fileno(said), STDERR_FILENO);
        body();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    std::string text(4096, '\0');
    text.resize(static_cast<std::size_t>(::pread(::fileno(said), text.data(), text.size(), 0)));
    std::fclose(said);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    return text;
}

} // namespace chainring::test
