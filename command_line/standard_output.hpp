// A program that cannot write its report has failed, whatever the report would have said.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>

// At the program's end: `status`, or 1 after one line on standard error when standard output did not take all.
inline int written_or_failed(const char* program, int status) {
    const bool failed_before = std::ferror(stdout) != 0;
    if (std::fflush(stdout) == 0 && !failed_before) return status;
    std::fprintf(
        stderr, "%s: standard output: %s\n", program, failed_before ? "write error" : std::strerror(errno));
    return 1;
}
