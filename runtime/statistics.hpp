// What an executor counts. Plain numbers, read with executor::stats() on the executor's thread; they never
// reset.
#pragma once

#include <cstdint>

namespace chainring {

struct statistics {
    std::uint64_t turns = 0;
    std::uint64_t enters = 0;             // io_uring_enter calls
    std::uint64_t sqes = 0;               // SQEs that the kernel took
    std::uint64_t cqes = 0;               // CQEs reaped, those of cancel requests included
    std::uint64_t terminal_cqes = 0;      // of them, those after which their SQE has no other
    std::uint64_t silent_sqes = 0;        // SQEs of chains that have no CQE of their own
    std::uint64_t wakeups = 0;            // times another thread ended the executor's sleep
    std::uint64_t pumps = 0;              // times another loop woke the executor within it
    std::uint64_t cq_overflows = 0;       // turns that found the completion queue overflown
    std::uint64_t no_buffers = 0;         // receives that ended because the buffer ring was empty
    std::uint64_t stale_cqes = 0;         // CQEs of an operation that no longer existed: always 0, or a bug
    std::uint64_t early_results = 0;      // sends that succeeded before all was sent: always 0, or a bug
    std::uint64_t second_resumptions = 0; // of coroutines, on this thread: always 0, or a bug
    std::uint64_t broken_invariants = 0;  // found by executor::broken_invariants(): always 0, or a bug
    std::uint64_t submit_retries = 0;     // enters that failed with EAGAIN, EBUSY or EINTR and were repeated
    std::uint64_t resumptions = 0;        // coroutines resumed from the ready queue
    std::uint64_t messages_sent = 0; // messages handed to the kernel, one longer than a batch once for each
    std::uint64_t batches_sent = 0;  // the batches that they went in
    std::uint64_t zero_copies = 0;   // of them, those that were sent without a copy
    std::uint64_t zero_copies_copied = 0; // and copied after all, as on loopback
    std::uint64_t bundles_sent = 0;       // of the batches, those that went as buffers of a ring
    std::uint64_t messages_accepted = 0;  // by the send queues
    std::uint64_t messages_settled = 0;   // they have left the queue, sent or not
    std::uint64_t bytes_accepted = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_failed = 0; // they left the queue unsent
    std::uint64_t bytes_received = 0;
    std::uint64_t accepts_deferred = 0;    // accepts put off because descriptors or memory ran out
    std::uint64_t connections_refused = 0; // reset at once, because no descriptor was left for them
    std::uint64_t descriptors_opened = 0;
    std::uint64_t descriptors_closed = 0;

    std::uint32_t operations_in_flight = 0; // submitted or about to be, terminal CQE not yet seen
    std::uint32_t pending_closes = 0;       // connections whose close has begun and not ended
    std::uint32_t buffers_leased = 0;       // buffers in the hands of users
    std::uint32_t live_tasks = 0;           // coroutine frames of tasks on this thread
};

} // namespace chainring
