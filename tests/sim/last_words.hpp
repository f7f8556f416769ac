// For tests of what ends the process.
#pragma once

#include "simulation.hpp"

#include <sys/wait.h>

#include <csignal>
#include <cstdio>

namespace chainring::test {

struct ending {
    std::string text; // on standard error
    int status = 0;   // as of waitpid
};

// Of a process that runs `body`.
template <class Body> ending ending_of(Body body) {
    std::fflush(stdout); // once
    std::FILE* const said = std::tmpfile();
    REQUIRE(said != nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGABRT, SIG_DFL);
        ::dup2(::fileno(said), STDERR_FILENO);
        body();
        ::_exit(0);
    }
    ending found;
    ::waitpid(child, &found.status, 0);
    found.text.resize(4096);
    found.text.resize(
        static_cast<std::size_t>(::pread(::fileno(said), found.text.data(), found.text.size(), 0)));
    std::fclose(said);
    return found;
}

// What a process says that runs `body`, which must abort it.
template <class Body> std::string last_words(Body body) {
    const ending found = ending_of(std::move(body));
    CHECK(WIFSIGNALED(found.status));
    CHECK(WTERMSIG(found.status) == SIGABRT);
    return found.text;
}

} // namespace chainring::test
