"""Why chainring loses where it does: what is known of it, and how."""

SMALL_BLOCKS = (
    "chainring's echo receives into blocks of 4 KiB of the pool that all connections share, the peers into 64 KiB: sixteen CQEs for a "
    "message. Who streams has larger blocks (`executor_options::buffers.block_size`), or uses `receive_into` with memory of its own "
    "(`into own memory`)"
)
STARVED = (
    "in this mode an enter brings whatever has arrived, here hundreds of messages at once, and the kernel has at most 256 blocks to put "
    "them in. The others end their receives with ENOBUFS (the counter `no_buffers`), which are armed again: up to two SQEs for a message. In "
    "another run the same server had 1.11 times the loop's CPU time with 256 blocks and 1.04 with 4096, and the loop in the same mode "
    "(`uring_loop --task-work cooperative`) 1.16"
)
PER_REPLY = (
    "16 requests are cut out of a block, awaited and copied into the send queue one by one (0.02 µs more of user time for each in another "
    "run); the loop sends the block back as it came"
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
    "each message resumes a coroutine and is an entry of its connection's queue, where the loop has a switch: in another run 0.05 to "
    "0.1 µs of user time, with a thousand connections and their cold frames 0.3"
)
ALONE = (
    "with one connection both processors sleep between messages, and waking one is most of the time and of the CPU time. It has two levels on "
    "such a machine (50 and 70 µs a round trip in another run), and which of them a program gets changes from run to run, the "
    "hand-written loop's too"
)
OF_URING = (
    "most of it the hand-written liburing loop, beside it in the table, loses to that peer as well: it is what io_uring costs where system calls are as "
    "cheap as on this machine. The rest is user time: a coroutine, a lease and an entry of a queue for each message"
)
CHURN = (
    "user time: each connection is a task, whose frame, stream and queues are made and given back, and its peer's address is asked for while it is "
    "there (1 to 2.5 µs in other runs), where the loop has an entry of a table; and its close has a completion, which the loop does without"
)
SPREAD = (
    "with so many messages always in flight the mean latency of a server that is busy all the time is their number divided by messages/s; what "
    "is left is how it is spread, and a higher median goes with shorter tails at the same rate. Beside messages/s in the table it can be seen that the "
    "hand-written loops, which have neither coroutines nor queues, mostly have the same median in proportion to the mean: in another run of "
    "`pipelined` it was 1.11 to 1.16 times the mean for them and for chainring, 0.97 for Asio's coroutines. From round to round it goes with the "
    "length of the turns, longer ones having a lower median there (correlation -0.3 to -0.98)"
)
CHAIN = (
    "records keep their bounds in a linked chain of one send each, which is an SQE and a call within the kernel for each; the loop hands the "
    "whole burst over in one sendmmsg"
)
CHEAP_CALLS = (
    "a record is an SQE of a chain here, and two system calls there, one that receives it and one that sends it. All of the difference is the "
    "kernel's time, though it is called a hundred times less often: where a call is as cheap as on this machine an SQE costs more. Where calls are "
    "dearer (an AMD machine, in another run) chainring had 2.3 times Asio's rate"
)
FANNED_OUT = (
    "three quarters of it were user time in another run: for each subscriber an entry of a queue, a batch and a completion, where the loop has an "
    "array of places in one log. The rest is what an SQE costs more than a system call on a machine whose calls are cheap"
)
COLD = (
    "most of it is user time, 1.9 µs against 0.7 in another run, where a server that had no time to sleep spent 0.15: after each sleep the caches "
    "have to be filled anew, and chainring has more code than the loop"
)
ONE_EACH = "a receive of its own for each datagram, where recvmmsg takes up to 64 with one call: `receive` is the way for rate"
WITHOUT_GRO = "it has not asked for GRO, and the loop beside it has"
GATHERED = (
    "in this mode a sleep waits for 32 completions, and 50 µs at most. Eight clients then go in step with the server: it answers all of them, and "
    "sleeps until all have asked again, where otherwise both sides work at the same time. Of fifty each waits for some others. Latency mode, beside "
    "it in the table, does not gather (docs/design.md, Gathering completions)"
)
RESUMED = "a coroutine is resumed for each receive, and the block that it came in goes home"

LIBRARIES = (
    "most of it is code that is mapped from files: in another run the process had 5.3 MiB before the first connection, 4.9 of them from files, "
    "where the epoll loop had 3.8 and 3.6. The rest are blocks of the pool that were filled, more of them where turns are larger"
)
LARGE_POOL = (
    "the sample's pool had 1024 blocks of 64 KiB for all connections up to the commit b25ec81, far more than near caches hold; the loop has 64, and Asio one "
    "for each direction. In another run its rate was 0.92 (0.82 to 1.00) of the loop's with them, and 1.02 (0.90 to 1.13) with 128, which it has since"
)
TWO_EXECUTORS = (
    "three threads, the client's among them, share two processors, which in a virtual machine may be two hyperthreads of one core; and each "
    "executor has half of the connections, so that its turns are half as long and each message pays more of an enter. The hand-written loop "
    "with two threads stands beside it in the table. The sample's threads no longer push aside who runs on their core, since the commit behind "
    "27f6144: in another run of 21 rounds the CPU time of a message was 1.06 (1.03 to 1.11) times that of one thread with 64 connections then"
)

# Beginnings of the shape's name, of chainring's contestant or the table's row, and of the peer's name; the figure, or any.
REASONS = (
    ("proxy", "chainring", "", "", LARGE_POOL),
    ("", "chainring", "", "peak_mib", LIBRARIES),
    ("streaming", "chainring throughput", "", "", SMALL_BLOCKS),
    ("streaming", "chainring latency", "", "", SMALL_BLOCKS),
    ("echo-1000", "chainring latency", "", "", STARVED),
    ("echo-1x", "chainring", "", "cpu_us", ALONE),
    ("echo-1x", "chainring", "", "p50_us", ALONE),
    ("echo-1x", "chainring", "", "p99_us", ALONE),
    ("churn", "chainring", "liburing", "", CHURN),
    ("pipelined", "chainring write per reply", "", "", PER_REPLY),
    ("pipelined", "chainring", "liburing", "cpu_us", COROUTINE),
    ("pipelined", "chainring", "liburing", "per_second", COROUTINE),
    ("echo", "chainring", "liburing", "cpu_us", COROUTINE),
    ("echo", "chainring", "liburing", "per_second", COROUTINE),
    ("echo", "chainring", "epoll loop", "cpu_us", OF_URING),
    ("streaming", "chainring into own memory", "", "cpu_us", OF_URING),
    ("paced", "chainring", "liburing", "cpu_us", COROUTINE),
    ("redis-1x8-", "chainring throughput", "", "", GATHERED),
    ("redis-1x50-", "chainring throughput", "", "p50_us", GATHERED),
    ("streaming", "chainring into own memory", "", "p50_us", SPREAD),
    ("echo", "chainring", "", "p50", SPREAD),
    ("echo", "chainring", "", "p99", SPREAD),
    ("pipelined", "chainring", "", "p50", SPREAD),
    ("pipelined", "chainring", "", "p99", SPREAD),
    ("seqpacket", "chainring", "epoll loop", "", CHAIN),
    ("seqpacket", "chainring", "Asio", "", CHEAP_CALLS),
    ("fan-out", "chainring", "epoll loop", "", FANNED_OUT),
    ("paced", "chainring", "epoll loop", "cpu_us", COLD),
    ("datagrams-gso", "chainring with GRO", "recvmmsg loop", "", RESUMED),
    ("datagrams-gso", "chainring", "recvmmsg loop", "", WITHOUT_GRO),
    ("datagrams", "chainring into memory", "recvmmsg loop", "", ONE_EACH),
    ("datagrams", "chainring", "recvmmsg loop", "", RESUMED),
    ("threads", "chainring 2 threads", "chainring", "", TWO_EXECUTORS),
    ("idle", "chainring", "", "", IDLE),
    ("micro", "lock a free mutex (std::mutex), one thread", "", "", ONE_THREAD),
    ("micro", "lock a mutex (strand)", "", "", HANDED_OVER),
)


def reason(shape, ours, peer, figure):
    for begins, who, whom, what, why in REASONS:
        if shape.startswith(begins) and ours.startswith(who) and peer.startswith(whom) and figure.startswith(what):
            return why
    return "not known"
