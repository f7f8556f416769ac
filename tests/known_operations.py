"""What list_operations.py has to be told about classes that can be awaited, and about functions whose results can."""

# A class can be awaited that is a waiter, by whatever bases, or that has one of these.
AWAITS = {"await_ready", "await_suspend", "operator co_await"}
NEVER_AWAITED = AWAITS - {"operator co_await"} | {"await_resume", "operator="}
AWAITABLES = {"detail::awaitable", "detail::range_of_awaitables"}  # concepts
# What other such classes are made of.
BASES = {
    "waiter",  # and the task_waiter that a task_awaiter becomes
    "operation",
    "ring_operation",
    "task",  # whose awaiter is the task_awaiter
    "task_owner",
    "task_waiter",
    "datagram_receiver::reader",  # of the receives
    "msghdr_reader",
    "receiver::reader",
    "sender::writer",  # of the writes
    "accept_waiter",
    "connect_waiter",
    "end_waiter",  # of the closes and the releases
    "release_waiter",
    "remote_task_operation",  # of spawn_on and resume_on
    "task_mover",
    "queued_operation",  # of the primitives in sync/
    "queued_waiter",
    "send_waiter",
    "write_waiter",
}
# What no task waits in.
NEVER_WAITED_IN = {
    "std::suspend_always",  # a coroutine that has not begun
    "promise_base::at_the_end",  # a task that has ended
    "async_generator::promise_type::stop",  # a generator between two values
    "async_generator::promise_type::stop_with_copy",
    "remote_task::root",  # is told of the end of another executor's task
    "task_group::nursery",  # is told of the ends of a group's children
    "root_task",  # these are told of the ends of tasks that nobody awaits
    "run_task",
    "queued_thread",  # a thread waits in it
    "detail::spawned_task",
    "linked_stop_source",  # these are told of a cancellation
    "task_group::join_awaiter::join_cancellation",
    "this_scope",  # completes at once
    "detail::scope_query",  # completes at once
    "detail::try_result",  # goes on, or ends its coroutine
}
# What comes from functions that do not name it: from which.
MADE_IN = {
    "task_awaiter::waiter": "task",
    "detail::named_waiter": "named",
    "detail::body_waiter": "task",
    "detail::carried_task_operation": "resume_on",
    "detail::operation_until_shutdown": "until_shutdown",
    "detail::scoped_awaiter": "shield",
    "detail::timed_awaiter": "timeout",
    "detail::try_awaiter": "try_",
    "condition::notification": "condition_wait",
}
# Functions whose result depends on what they are given.
OPEN_OPERATIONS = {"try_"}
OPEN_TASKS = {"scope"}
NOT_AWAITED = {
    "kept_outcome_take",  # what a function has returned
    "executor_run",  # these return what their task has returned
    "runtime_block_on",
    "run_task_take_value",
    "task_promise_take_value",
    "task_waiter_take_value_of",
    "watch_get",  # a copy of its value
}
# Those that return a task, and of which the others are made; or that are the same as another one, told what to look for.
PARTS = {
    "buffered_reader_read_exactly",  # read_message
    "buffered_reader_read_line",
    "buffered_reader_read_until",
    "task_promise_get_return_object",
    "connect_to_first",  # of connect
    "connect_to_host",
}
