"""Writes one line OPERATION(name) for each public function of the headers that makes an operation, and one line TASK(name) for
each that makes a task of any kind; a member's name begins with its class: stream_send.

    python3 list_operations.py OPERATIONS_OUTPUT TASKS_OUTPUT HEADER ...

tests/net/cancel_race_test.cpp and task_race_test.cpp include them, and do not compile if they have no case for one of them.
Nothing is passed over: a declaration that cannot be read, a function of whose result is not said here whether it can be awaited,
and a class that can be awaited and comes from no function are errors.
"""

import pathlib
import sys

import declarations

# A class can be awaited that is a waiter, by whatever bases, or that has one of these.
AWAITS = {"await_ready", "await_suspend", "operator co_await"}
NEVER_AWAITED = AWAITS - {"operator co_await"} | {"await_resume", "operator ="}
# What other such classes are made of.
BASES = {
    "waiter",  # and the task_waiter that a task_awaiter becomes
    "operation",
    "ring_operation",
    "task",  # whose awaiter is the task_awaiter
    "task_owner",
    "task_waiter",
    "reader",  # of the receives
    "writer",  # of the writes
    "accept_waiter",
    "connect_waiter",
    "end_waiter",  # of the closes and the releases
    "release_waiter",
    "send_waiter",
    "write_waiter",
}
# What no task waits in.
NEVER_WAITED_IN = {
    "at_the_end",  # a task that has ended
    "stop",  # a generator between two values
    "stop_with_copy",
    "nursery",  # is told of the ends of a group's children
    "root_task",  # these are told of the ends of tasks that nobody awaits
    "run_task",
    "spawned_task",
    "linked_stop_source",  # these are told of a cancellation
    "join_cancellation",
    "this_scope",  # completes at once
    "scope_query",  # completes at once
    "try_result",  # goes on, or ends its coroutine
}
# What comes from functions that do not name it: from which.
MADE_IN = {
    "join_awaiter": "task_group_join",
    "task_awaiter": "task",
    "waiter": "task",
    "named_waiter": "named",
    "scoped_awaiter": "shield",
    "timed_awaiter": "timeout",
    "try_awaiter": "try_",
}
# Functions whose result depends on what they are given, or that only their body tells.
OPEN_OPERATIONS = {"task_group_join", "try_"}
OPEN_TASKS = {"scope"}
NOT_AWAITED = {
    "executor_run",  # these return what their task has returned
    "runtime_block_on",
    "run_task_take_value",
    "task_promise_take_value",
    "task_waiter_take_value_of",
    "promise_base_final_suspend",
}
# Those that return a task, and of which the others are made.
PARTS = {
    "task_promise_get_return_object",
    "connect_to_first",  # of connect
    "connect_to_host",
}
OPEN_RESULTS = {"auto", "decltype", "invoke_result_t", "result_of_t"}


def can_be_awaited(classes):
    found = {"waiter"} | {each.name for each in classes if each.members & AWAITS}
    while more := {each.name for each in classes if found & set(each.bases)} - found:
        found |= more
    return found


def with_aliases(tokens, aliases):
    """The tokens, and those that aliases among them stand for."""
    seen = set(tokens)
    while more := {token for alias in seen & aliases.keys() for token in aliases[alias]} - seen:
        seen |= more
    return seen


def key_of(function):
    if function.name == "operator co_await" or not function.scope:
        return function.scope or function.name
    return f"{function.scope}_{function.name}"


def check_known(what, names, known):
    if gone := names - known:
        sys.exit(f"list_operations.py: no such {what} any more: {', '.join(sorted(gone))}")


def is_open(function, returned):
    """Only the compiler knows what it returns."""
    parameters = set(function.template + function.class_template) - {"class", "typename"}
    whole = [token for token in function.returns if token != "const"]
    return bool(returned & OPEN_RESULTS) or (len(whole) == 1 and whole[0] in parameters)


def lists(headers):
    found = declarations.declarations_of(headers)
    awaited = can_be_awaited(found.classes)
    check_known("awaitable", BASES | NEVER_WAITED_IN | MADE_IN.keys(), awaited | {"waiter"})
    made = awaited - BASES - NEVER_WAITED_IN
    operations, tasks, named, known = set(), set(), set(), set()
    for function in found.functions:
        if not function.is_public or function.name in NEVER_AWAITED:
            continue
        key = key_of(function)
        known.add(key)
        if key in NOT_AWAITED | PARTS:
            continue
        returned = with_aliases(function.returns, found.aliases)
        of_awaitables = any(token in ("awaitable", "range_of_awaitables") for token in function.template + function.parameters)
        if key in OPEN_OPERATIONS:
            operations.add(key)
        elif key in OPEN_TASKS or "task" in returned or (of_awaitables and is_open(function, returned)):
            tasks.add(key)
        elif returned & made:
            operations.add(key)
            named |= returned & made
        elif is_open(function, returned):
            sys.exit(f"list_operations.py: can what {key} returns be awaited? {' '.join(function.returns)}")
    check_known("function", OPEN_OPERATIONS | OPEN_TASKS | NOT_AWAITED | PARTS | set(MADE_IN.values()), known)
    if nowhere := made - named - MADE_IN.keys():
        sys.exit(f"list_operations.py: what function makes these? {', '.join(sorted(nowhere))}")
    return operations, tasks


def write(output, macro, names):
    pathlib.Path(output).write_text("".join(f"{macro}({name})\n" for name in sorted(names)))


def main():
    operations_output, tasks_output, *headers = sys.argv[1:]
    try:
        operations, tasks = lists(headers)
    except declarations.Unreadable as unreadable:
        sys.exit(f"list_operations.py: {unreadable}")
    write(operations_output, "OPERATION", operations)
    write(tasks_output, "TASK", tasks)


if __name__ == "__main__":
    main()
