// A variable of the environment has another value for a while; nullptr: it is not there.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace chainring::test {

class variable {
  public:
    variable(const char* name, const char* value)
        : name_(name) {
        if (const char* const now = std::getenv(name)) before_ = now;
        set(value);
    }
    ~variable() { set(before_ ? before_->c_str() : nullptr); }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;

  private:
    void set(const char* value) {
        if (value != nullptr)
            ::setenv(name_, value, 1);
        else
            ::unsetenv(name_);
    }

    const char* name_;
    std::optional<std::string> before_;
};

// For tests of which worlds run: as if nobody had asked for others.
struct no_variables {
    variable seed{"CHAINRING_SIM_SEED", nullptr};
    variable seeds{"CHAINRING_SIM_SEEDS", nullptr};
    variable first{"CHAINRING_SIM_FIRST", nullptr};
    variable twice{"CHAINRING_SIM_TWICE", nullptr};
    variable log{"CHAINRING_SIM_LOG", nullptr};
    variable replay{"CHAINRING_SIM_REPLAY", nullptr};
};

} // namespace chainring::test
