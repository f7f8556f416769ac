#include <chainring/runtime/audit.hpp>
#include <chainring/runtime/ready_queue.hpp>
#include <chainring/runtime/task_tree.hpp>

#include <cstdio>
#include <ostream>
#include <string>

namespace chainring {

namespace {

bool opens(char c) noexcept {
    return c == '(' || c == '<' || c == '{' || c == '[';
}
bool closes(char c) noexcept {
    return c == ')' || c == '>' || c == '}' || c == ']';
}

// Where the bracket opens that closes at the end; npos without one.
std::size_t opening_of_last(std::string_view text) noexcept {
    unsigned depth = 0;
    for (std::size_t at = text.size(); at-- > 0;) {
        if (closes(text[at])) ++depth;
        if (opens(text[at]) && --depth == 0) return at;
    }
    return std::string_view::npos;
}

std::string_view before_last_bracket(std::string_view text) noexcept {
    return text.substr(0, opening_of_last(text));
}

// On one line, whatever is in it.
std::string quoted(std::string_view name) {
    std::string text = "\"";
    for (const char c : name) {
        if (c == '"' || c == '\\') {
            text += {'\\', c};
        } else if (c == '\n') {
            text += "\\n";
        } else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
            char code[8];
            std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(c));
            text += code;
        } else {
            text += c;
        }
    }
    return text + '"';
}

} // namespace

void waiter::describe(task_tree& to) const {
    to.waits("something of the program's own");
}

task_tree::task_tree(std::ostream& to, time_point now, const ready_queue& ready)
    : to_(to)
    , now_(now) {
    ready.for_each([this](const waiter& each) { ready_.insert(&each); });
}

void task_tree::begin_line() {
    for (unsigned level = 0; level < depth_; ++level) to_ << "  ";
}

void task_tree::omit() {
    begin_line();
    to_ << "what is deeper is left out\n";
    something_runs_ = true;
}

void task_tree::coroutine(const wait_site& site, const cancel_scope& scope) {
    begin_line();
    if (site.waits_for() == nullptr) {
        to_ << "a coroutine that runs or is about to\n";
        something_runs_ = true;
        return;
    }
    to_ << short_name(site.where().function_name()) << " at " << site.where().file_name() << ':'
        << site.where().line();
    if (ready_.contains(site.waits_for())) {
        to_ << ": about to go on\n";
        return;
    }
    since_ = site.since();
    const time_point before = std::exchange(deadline_, scope.deadline());
    site.waits_for()->describe(*this);
    deadline_ = before;
}

void task_tree::not_started() {
    begin_line();
    to_ << "a task that has not started\n";
}

void task_tree::waits(std::string_view operation, std::string_view what) {
    to_ << ": " << operation;
    if (!what.empty()) to_ << ' ' << what;
    to_ << ", " << for_time(now_ - since_);
    if (deadline_ != cancel_scope::no_deadline) to_ << ", deadline in " << in_seconds(deadline_ - now_);
    to_ << '\n';
}

void task_tree::awaits(const wait_site& site, const cancel_scope& scope, std::string_view name) {
    to_ << ", in";
    if (!name.empty()) to_ << ' ' << quoted(name);
    to_ << '\n';
    below([&] { coroutine(site, scope); });
}

std::string_view short_name(std::string_view function) noexcept {
    // GCC and Clang put the arguments of a template behind it: "[with T = int]", "[T = int]".
    if (function.ends_with(']')) function = before_last_bracket(function);
    while (function.ends_with(' ')) function.remove_suffix(1);
    if (function.ends_with(" const")) function.remove_suffix(std::string_view(" const").size());
    if (function.ends_with(')')) function = before_last_bracket(function); // GCC omits it for some lambdas
    if (function.ends_with("::operator()")) function.remove_suffix(std::string_view("::operator()").size());

    unsigned depth = 0;
    for (std::size_t at = function.size(); at-- > 0;) {
        if (closes(function[at])) ++depth;
        if (opens(function[at])) --depth;
        if (function[at] == ' ' && depth == 0) {
            function.remove_prefix(at + 1);
            break;
        }
    }
    const bool a_template = function.ends_with('>') && !function.ends_with(")>"); // not "<lambda(int)>"
    return a_template ? before_last_bracket(function) : function;
}

} // namespace chainring
