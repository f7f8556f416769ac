"""Why chainring loses where it does: what is known of it, and how."""

CONFIRMED = (
    "the echo sample waits for the confirmation of each block of 4 KiB before it takes the next, which is an SQE for each block; "
    "the loop sends what has come meanwhile in one go. So does chainring where a program says `write` in place of `send` "
    "(`replies --blocks`), with a sixteenth of the SQEs and 0.96 (0.94..0.99) times the loop's CPU time"
)
STARVED = (
    "in this mode an enter brings whatever has arrived, here hundreds of messages at once, and the kernel has at most 256 blocks to put "
    "them in. The others end their receives with ENOBUFS (0.03 to 1.0 for a message, the counter `no_buffers`), which are armed again: up "
    "to two SQEs for a message. With 4096 blocks the same server needs 1.04, and from 1.41 times the loop's CPU time it came down to 1.11; the "
    "loop in the same mode (`uring_loop --task-work cooperative`) takes 1.16"
)
PER_REPLY = (
    "16 requests are cut out of a block, awaited and copied into the send queue one by one: 0.02 µs more of user time for each; the loop "
    "sends the block back as it came"
)
IDLE = "a loop by hand keeps one small struct; here it is a task's frame, a stream and its two queues"
ONE_THREAD = (
    "glibc locks a std::mutex without an atomic operation as long as the process has one thread, and a mutex for coroutines also keeps a "
    "queue of who waits; with a second thread the std::mutex takes longer"
)
HANDED_OVER = (
    "a mutex goes to whoever has asked first, which on another executor is a wake-up; a strand runs all that waits for it on one thread"
)
COROUTINE = (
    "each message resumes a coroutine twice, after the receive and after its send: 0.05 to 0.1 µs of user time, with a thousand "
    "connections and their cold frames 0.3, which the loop spends on a switch"
)
ALONE = (
    "with one connection both processors sleep between messages, and waking one is most of the time and of the CPU time. It has two levels on "
    "this machine, of 50 and 70 µs a round trip, and which of them a program gets changes from run to run, the hand-written loop's too"
)
CHURN = (
    "half of it is user time: each connection is a task, whose frame, stream and queues are made and given back (2.5 µs), where the loop has "
    "an entry of a table; the other half is not known"
)
LATE = (
    "not found out: four later comparisons, on a busy machine, had medians from 0.4 to 2.0 times the loop's without a tendency. Turns are "
    "larger here (SQEs per enter), which saves system calls, and who comes late for one waits for all of it"
)

# Beginnings of the shape's name, of chainring's contestant or the table's row, and of the peer's name; the figure, or any.
REASONS = (
    ("streaming", "chainring throughput", "liburing", "", CONFIRMED),
    ("streaming", "chainring latency", "liburing", "", CONFIRMED),
    ("echo-1000", "chainring latency", "", "", STARVED),
    ("echo-1x", "chainring", "", "cpu_us", ALONE),
    ("churn", "chainring", "liburing", "", CHURN),
    ("pipelined", "chainring write per reply", "", "", PER_REPLY),
    ("pipelined", "chainring", "liburing", "cpu_us", COROUTINE),
    ("pipelined", "chainring", "liburing", "per_second", COROUTINE),
    ("echo", "chainring", "liburing", "cpu_us", COROUTINE),
    ("echo", "chainring", "liburing", "per_second", COROUTINE),
    ("paced", "chainring", "liburing", "cpu_us", COROUTINE),
    ("echo", "chainring", "", "p99_us", LATE),
    ("idle", "chainring", "", "", IDLE),
    ("micro", "lock a free mutex (std::mutex), one thread", "", "", ONE_THREAD),
    ("micro", "lock a mutex (strand)", "", "", HANDED_OVER),
)


def reason(shape, ours, peer, figure):
    for begins, who, whom, what, why in REASONS:
        if shape.startswith(begins) and ours.startswith(who) and peer.startswith(whom) and figure.startswith(what):
            return why
    return "not known"
