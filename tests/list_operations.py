"""Writes one line OPERATION(name) for each class in the public headers that a task can wait in, and one line TASK(name)
for each function there that returns a task.

    python3 list_operations.py OPERATIONS_OUTPUT TASKS_OUTPUT HEADER ...

tests/net/cancel_race_test.cpp and task_race_test.cpp include them, and do not compile if they have no case for one of them.
Every class counts that is a waiter, by whatever bases, or that has await_ready, await_suspend or operator co_await, and
every function whose result is spelled task<...>, or auto and made from awaitables, unless it is named here.
"""

import pathlib
import re
import sys

# What the others are made of.
BASES = {
    "waiter",  # and the task_waiter that a task_awaiter becomes
    "operation",
    "ring_operation",
    "task_owner",
    "task",  # whose awaiter is the task_awaiter
    "task_waiter",
    "reader",  # of the receives
    "writer",  # of the writes
    "accept_waiter",
    "connect_waiter",
    "send_waiter",
    "write_waiter",
}
# What no task waits in.
NEVER_WAITED_IN = {
    "at_the_end",  # a task that has ended
    "stop",  # a generator between two values
    "root_owner",  # is told of the end of the task of run
    "nursery",  # is told of the ends of a group's children
    "linked_stop_source",  # is told of a cancellation
    "this_scope",  # completes at once
    "scope_query",  # completes at once
    "try_result",  # goes on, or ends its coroutine
}

# What the functions that return a task are made of.
PARTS_OF_TASKS = {
    "get_return_object",
    "fill",  # the task of a child
    "hold",  # of when_all and its like
    "run",
    "outcomes_of",  # of when_all
    "connect_to_first",  # of connect
    "connect_to_host",
    "within",  # of deadline and timeout
    "named",  # whose task is the named_waiter
    "timeout",  # which is the timed_awaiter
}

COMMENT_OR_STRING = re.compile(r'//[^\n]*|"(?:\\.|[^"\\\n])*"')
# class [[attribute]] scope::name<arguments> final : bases {
CLASS = re.compile(
    r"\b(?:class|struct)\s+(?:\[\[[^\]]*\]\]\s+|alignas\([^()]*\)\s*)*(?:\w+(?:<[^<>]*>)?::)*(\w+)(?:<[^<>{};]*>)?\s*(?:final\s*)?(?::([^{};]*))?\{"
)
AWAITS = re.compile(r"\bawait_(?:ready|suspend)\b|\boperator\s+co_await\b")
TASK = re.compile(r"(?<![\w:<,(])task<[^;{}()]*>\s*(\w+)\(")
RETURNS_TASK = re.compile(r"\bauto\s+(\w+)\([^;{}]*\)[^;{}()]*->\s*task<")
OF_AWAITABLES = re.compile(r"template <[^;{}()]*\bawaitable\b[^;{}()]*>\s*auto\s+(\w+)\(")


def end_of_body(text, at):
    depth = 1
    while depth > 0:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at


def without_classes(text):
    while (nested := CLASS.search(text)) is not None:
        text = text[: nested.start()] + text[end_of_body(text, nested.end()) :]
    return text


def names_in(bases):
    while re.search(r"<[^<>]*>", bases):
        bases = re.sub(r"<[^<>]*>", "", bases)
    return {base.split("::")[-1].split()[-1] for base in bases.split(",") if base.strip()}


def operations(headers):
    bases_of = {}
    found = {"waiter"}
    for header in headers:
        text = COMMENT_OR_STRING.sub("", pathlib.Path(header).read_text())
        for each in CLASS.finditer(text):
            bases_of.setdefault(each[1], set()).update(names_in(each[2] or ""))
            if AWAITS.search(without_classes(text[each.end() : end_of_body(text, each.end()) - 1])):
                found.add(each[1])
    while more := {name for name, bases in bases_of.items() if bases & found} - found:
        found |= more
    if unknown := (BASES | NEVER_WAITED_IN) - found:
        sys.exit(f"list_operations.py: no such awaitable any more: {', '.join(sorted(unknown))}")
    return found - BASES - NEVER_WAITED_IN


def tasks(headers):
    found = set()
    for header in headers:
        text = COMMENT_OR_STRING.sub("", pathlib.Path(header).read_text())
        found.update(TASK.findall(text), RETURNS_TASK.findall(text), OF_AWAITABLES.findall(text))
    if unknown := PARTS_OF_TASKS - found:
        sys.exit(f"list_operations.py: no function that returns a task any more: {', '.join(sorted(unknown))}")
    return found - PARTS_OF_TASKS


def write(output, macro, names):
    pathlib.Path(output).write_text("".join(f"{macro}({name})\n" for name in sorted(names)))


def main():
    operations_output, tasks_output, *headers = sys.argv[1:]
    write(operations_output, "OPERATION", operations(headers))
    write(tasks_output, "TASK", tasks(headers))


if __name__ == "__main__":
    main()
