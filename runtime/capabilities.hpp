// What the io_uring of this kernel can do, found by asking it and never by its version: distributions
// backport, and sandboxes leave things out.
#pragma once

#include <chainring/runtime/setup_failure.hpp>

#include <expected>
#include <span>
#include <string_view>

namespace chainring {

// One bool for each thing; `capability_table()` says since which Linux, and what chainring does without it.
struct capabilities {
    // Ring setup flags.
    bool start_disabled = false; // R_DISABLED: one thread opens the ring, another becomes its owner
    bool submit_all = false;     // SUBMIT_ALL: a bad SQE does not hold back the ones behind it
    bool coop_taskrun = false;   // COOP_TASKRUN: completions never interrupt user code
    bool taskrun_flag = false;   // TASKRUN_FLAG: the ring shows that completions wait for an enter
    bool single_issuer =
        false; // SINGLE_ISSUER: only the owner submits, so the kernel takes no locks for others
    bool defer_taskrun = false; // DEFER_TASKRUN: completions run only when the executor waits
    bool no_sqarray = false;    // NO_SQARRAY: submission without the index array

    // Features that the kernel announces.
    bool nodrop = false;          // completions are never lost when the completion queue is full
    bool submit_stable = false;   // an SQE's data may go once it is submitted
    bool ext_arg = false;         // a wait can end by a time limit, without a timeout SQE
    bool cqe_skip = false;        // CQE_SKIP_SUCCESS: one completion for a whole batch
    bool linked_file = false;     // a chain's member looks up its descriptor when it runs
    bool recvsend_bundle = false; // one SQE receives into, or sends from, several provided buffers
    bool min_timeout = false;     // a wait can ask for many completions, but only for a short time
    bool no_iowait = false;       // a wait need not count as iowait

    // Operations.
    bool socket_operations = false; // send, recv, sendmsg, recvmsg, accept, connect, poll, cancel, close
    bool msg_ring = false;          // one ring posts a completion to another
    bool send_zc = false;           // send from the caller's memory, without a copy
    bool sendmsg_zc = false;        // the same for sendmsg
    bool fixed_fd_install = false;  // a direct descriptor becomes a plain one
    bool bind_listen = false;       // bind and listen on the ring

    // Registrations.
    bool buffer_ring = false;             // the kernel takes receive buffers from a ring shared with it
    bool incremental_buffer_ring = false; // ... and fills one buffer by several receives
    bool registered_ring = false;         // enter without looking up the ring's descriptor
    bool eventfd = false;                 // completions signal an eventfd
    bool sync_cancel = false;             // cancel and wait in one call
    bool direct_descriptors = false;      // descriptors that live in the ring only
    bool direct_descriptor_range = false; // ... whose numbers the kernel picks within a range
    bool sync_msg_ring = false;           // msg_ring from a thread that has no ring

    // Sockets.
    bool multishot_accept = false;     // one SQE accepts many connections
    bool multishot_receive = false;    // one SQE receives many times
    bool receive_limit = false;        // a multishot receive has a limit of bytes, a shot and in all
    bool vectored_send = false;        // send takes an array of buffers
    bool cancel_by_descriptor = false; // cancel everything on a descriptor
    bool cancel_by_operation = false;  // cancel by opcode

    // Whether chainring runs, in the mode that processes completions on any return from the kernel, or in the
    // one that does so only when the executor waits.
    bool latency_mode() const noexcept;
    bool throughput_mode() const noexcept;
};

enum class needed_for { every_mode, throughput_mode, nothing };

struct capability {
    std::string_view name;
    bool capabilities::* member;
    std::string_view group;
    std::string_view since; // the first Linux that has it, for people; chainring never compares versions
    needed_for need;
    std::string_view without; // what chainring does instead
};

// One entry for each member of `capabilities`, in its order.
std::span<const capability> capability_table() noexcept;

// Opens two small rings and closes them; takes well under a millisecond. Any thread; ask once, not once an
// executor.
std::expected<capabilities, setup_failure> probe_capabilities();

} // namespace chainring
