// Whose process it is at the other end of a unix socket.
#pragma once

#include <sys/types.h>

namespace chainring {

struct credentials {
    pid_t process;
    uid_t user;
    gid_t group;
};

} // namespace chainring
