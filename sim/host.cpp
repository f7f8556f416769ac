#include <chainring/runtime/log.hpp>
#include <chainring/sim/host.hpp>
#include <chainring/sim/world.hpp>

#include <spdlog/logger.h>

#include <ostream>
#include <utility>

namespace chainring::sim {

namespace {

// The end of a process in the middle of its work is nothing to warn of.
class silent_log {
  public:
    silent_log()
        : before_(log().level()) {
        log().set_level(spdlog::level::off);
    }
    ~silent_log() { log().set_level(before_); }
    silent_log(const silent_log&) = delete;
    silent_log& operator=(const silent_log&) = delete;

  private:
    spdlog::level::level_enum before_;
};

std::string text_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& known) {
        return known.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

} // namespace

host::host(network& over, std::string address, const executor_options& options, program runs)
    : network_(over)
    , address_(std::move(address))
    , options_(options)
    , program_(std::move(runs)) {}

host::~host() {
    end(death::killed);
}

void host::start() {
    if (running()) network_.within().fail("the program of " + address_ + " is started while it runs");
    end(death::killed);
    without_power_.reset();
    kernel_ = std::make_unique<simulated_kernel>(network_, address_);
    kernel_->forbid_close_in_flight();
    kernel_->forbid_cut_chains();
    network_.within().remark(address_ + " starts");
    home_ = std::make_unique<executor>(options_, *kernel_);
    handle_ = home_->native_handle();
    spawn(*home_, program_(), [this](const ended_task<void>& outcome) {
        returned_ = true;
        if (!outcome)
            network_.within().fail("the program of " + address_ + " has thrown: " + text_of(outcome.error()));
    });
}

void host::end(death how) {
    if (pumped_)
        network_.within().fail(
            "the program of " + address_ + " ends itself, which its test may do, and others");
    if (how == death::power_cut) without_power_.emplace(network_, address_);
    if (home_ == nullptr) return;
    if (ended()) {
        check_nothing_is_left();
    } else {
        network_.within().remark(address_ + (how == death::killed ? " is killed" : " loses power"));
        const silent_log quiet;
        kernel_->end_process(how == death::power_cut);
        ending_ = true;
        home_.reset();
        ending_ = false;
    }
    more_ = false;
    returned_ = false;
}

// By a program that has ended.
void host::check_nothing_is_left() {
    kernel_->end_notifications();
    while (home_->pump() || kernel_->signalled(handle_)) {
    }
    const std::vector<std::string> held = home_->holdings_report();
    if (!held.empty()) {
        std::string text = "the program of " + address_ + " has ended and holds:";
        for (const std::string& each : held) text += "\n    " + each;
        network_.within().fail(text);
    }
    home_.reset();
    if (const std::size_t open = kernel_->open_descriptors(); open != 0)
        network_.within().fail(
            "the program of " + address_ + " has ended with descriptors open: " + std::to_string(open));
}

bool host::ready() {
    if (home_ == nullptr) return false;
    const std::optional<time_point> next = next_deadline();
    return more_ || (next && *next <= network_.within().now()) || kernel_->signalled(handle_);
}

std::optional<time_point> host::next_deadline() const {
    return home_ != nullptr ? home_->next_deadline() : std::nullopt;
}

void host::pump(unsigned most_turns) {
    pumped_ = true;
    more_ = home_->pump(most_turns);
    pumped_ = false;
    for (const std::string& broken : home_->broken_invariants())
        network_.within().fail("broken invariant at " + address_ + ": " + broken);
}

void host::describe(std::ostream& to) const {
    to << address_
       << (running()          ? ":\n"
           : home_ != nullptr ? ": its program has ended\n"
                              : ": not running\n");
    if (!running()) return;
    home_->dump(to);
    for (const std::string& held : home_->holdings_report()) to << "still held: " << held << '\n';
}

} // namespace chainring::sim
