"""Known mistakes of io_uring programs, as changes of this tree's sources for scripts/mutate.

Each says what is wrong, and what to replace by what in which file. The text must be there exactly once. One that no world finds says why:
it stays in the list, as a gap.
"""

from dataclasses import dataclass

# The mixed world first: it knows most. Small worlds last, which are all there are and not drawn from seeds.
SIMULATED = ("tests/test-sim-mixed", "tests/test-sim", "tests/test-sim-small")
# The models of lock-free code, in every order of what its threads do, and the tests of what is built on it.
SHARED = ("tests/test-sync",)


@dataclass
class Mutation:
    name: str
    file: str
    search: str
    replace: str
    survives_because: str = ""
    programs: tuple[str, ...] = SIMULATED  # whose tests are to catch it


MUTATIONS = [
    Mutation(
        "sends have no MSG_WAITALL",
        "net/sender.cpp",
        "stream_flags = message_flags | MSG_WAITALL;",
        "stream_flags = message_flags;",
    ),
    Mutation(
        "the last member of a chain is linked to what follows",
        "runtime/executor.hpp",
        "if (member + 1 < members) sqe.flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;",
        "sqe.flags |= IOSQE_IO_LINK | (member + 1 < members ? IOSQE_CQE_SKIP_SUCCESS : 0);",
    ),
    Mutation(
        "the last member of a chain skips its completion",
        "runtime/executor.hpp",
        "if (member + 1 < members) sqe.flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;",
        "sqe.flags |= member + 1 < members ? IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS : IOSQE_CQE_SKIP_SUCCESS;",
    ),
    Mutation(
        "two batches are in flight at a time",
        "net/send_queue.hpp",
        "return batched_ == 0 && !messages_.empty(); }\n    // A batch",
        "return !messages_.empty(); }\n    // A batch",
    ),
    Mutation(
        "a sender goes on before all of its message is sent",
        "net/send_queue.cpp",
        "} else if (took == rest && !unsent) {",
        "} else if (!error && !message.unwanted_ && !unsent) {",
    ),
    Mutation(
        "the senders of a chain are told as soon as it is submitted",
        "net/sender.cpp",
        "    count_batch(count);\n}\n\nvoid sender::complete",
        "    count_batch(count);\n    queue_.chain_completed(count, 0, framing_);\n}\n\nvoid sender::complete",
    ),
    Mutation(
        "a socket closes with operations in flight",
        "net/socket.cpp",
        "state_ == state::ending && in_flight_ == 0) {",
        "state_ == state::ending) {",
    ),
    Mutation(
        "the limit of connections counts none whose close is pending",
        "net/connection.cpp",
        "    receiver_.close(sender_.why_closed());\n    sender_.close();\n}",
        "    receiver_.close(sender_.why_closed());\n    sender_.close();\n    counted_.end();\n}",
    ),
    Mutation(
        "a descriptor's number is taken for the socket after its close",
        "net/socket.cpp",
        "    state_ = state::closed;\n    file_.number = -1;",
        "    state_ = state::closed;\n    home_->behind().shutdown(file_.number, SHUT_RDWR);\n    file_.number = -1;",
    ),
    Mutation(
        "blocks that were received and not taken do not come home",
        "net/receive_queue.cpp",
        "while (count_ != 0) pool.put_back(pop(pool));",
        "while (count_ != 0) pop(pool);",
    ),
    Mutation(
        "a block that a closed connection receives does not come home",
        "net/receiver.cpp",
        "            pool.put_back(block);\n            unwanted_",
        "            unwanted_",
    ),
    Mutation(
        "a block comes home although it is received",
        "net/receiver.cpp",
        "received_.push(pool, block, static_cast<std::uint32_t>(cqe.res));",
        "received_.push(pool, block, static_cast<std::uint32_t>(cqe.res));\n            pool.put_back(block);",
    ),
    Mutation(
        "a connection that was accepted for nobody leaks",
        "net/acceptor.cpp",
        "    } else {\n        home().dispose(taken.file(), std::move(taken.place));\n    }\n}",
        "    }\n}",
    ),
    Mutation(
        "a connection that was accepted for a cancelled task leaks",
        "net/listener.cpp",
        "    if (taken_.descriptor >= 0)\n        home_->dispose(taken_.file(), std::move(taken_.place));\n    else if",
        "    if (taken_.descriptor >= 0)\n        ;\n    else if",
    ),
    Mutation(
        "a multishot receive is believed to go on whatever F_MORE says",
        "net/receiver.cpp",
        "    if (is_terminal(cqe)) [[unlikely]] {\n        armed_ = false;",
        "    if (cqe.res <= 0) [[unlikely]] {\n        armed_ = false;",
    ),
    Mutation(
        "a receive that found no buffer is armed again at once",
        "net/receiver.cpp",
        "home().buffers().starve(*this);\n    }",
        "socket_.ask_for_turn_end();\n    }",
    ),
    Mutation(
        "the generation of a slot is not checked",
        "runtime/slots.hpp",
        "return found.target != nullptr && found.generation == id.generation() ? &found : nullptr;",
        "return found.target != nullptr ? &found : nullptr;",
    ),
    Mutation(
        "a short send is taken for a whole one",
        "net/send_queue.hpp",
        "return part + 1U == part_count_ && result >= 0 && static_cast<std::uint32_t>(result) == last_part_;",
        "return part + 1U == part_count_ && result >= 0;",
    ),
    Mutation(
        "an enter that fails frees the memory of its SQEs",
        "runtime/executor.cpp",
        "    if (ring_.unsubmitted() == 0) until_submitted_.release_all();",
        "    until_submitted_.release_all();",
    ),
    Mutation(
        "an enter that fails drops its SQEs",
        "runtime/ring.cpp",
        "    ++counters.submit_retries;\n",
        "    ++counters.submit_retries;\n    queues_.sq.sqe_head = queues_.sq.sqe_tail = *queues_.sq.ktail = *queues_.sq.khead;\n",
    ),
    Mutation(
        "memory for a batch is taken before there is room for its SQEs",
        "net/sender.cpp",
        "    home().make_room(static_cast<unsigned>(parts.size()));\n",
        "",
    ),
    Mutation(
        "memory for an address is taken before there is room for its SQE",
        "net/connection.cpp",
        "    const operation_id operation = start([&](io_uring_sqe& sqe) {\n"
        "        auto* address = ::new (home().until_submitted().take<endpoint>(1).data()) endpoint(to);\n",
        "    auto* address = ::new (home().until_submitted().take<endpoint>(1).data()) endpoint(to);\n"
        "    const operation_id operation = start([&](io_uring_sqe& sqe) {\n",
    ),
    Mutation(
        "the answer of a cancel is taken for the operation's",
        "runtime/cancel_requests.cpp",
        "sqe.user_data = operation_id::cancel_tag | id.user_data();",
        "sqe.user_data = id.user_data();",
    ),
    Mutation(
        "a cancel that did not find its target is not repeated",
        "runtime/cancel_requests.cpp",
        "        at_turn_end_.push_back(id);\n        home_.at_turn_end(*this);",
        "",
    ),
    Mutation(
        "a cancel that came too early is not repeated",
        "runtime/cancel_requests.cpp",
        "        repeat_later(id);\n    }",
        "    }",
    ),
    Mutation(
        "a receive that was interrupted is taken for a broken connection",
        "net/receiver.cpp",
        "if (result == -EINTR) result = -ECANCELED;",
        "",
    ),
    Mutation(
        "a second receive is armed beside one into memory",
        "net/receiver.hpp",
        "return !direct_ && !again_ && (reader_waits()",
        "return !again_ && (reader_waits()",
    ),
    Mutation(
        "a connection closes over data that its peer still sends",
        "net/connection.cpp",
        "!sender_.has_sent() || !receiver_.peer_still_sends()) return false;",
        "!sender_.has_sent() || receiver_.peer_ended() || true) return false;",
    ),
    Mutation(
        "a stream goes on behind a message that was cut off",
        "net/send_queue.cpp",
        "            if (message.sent_ != 0) broken = errc::broken;\n",
        "",
    ),
    Mutation(
        "a record that failed is taken for one that was sent",
        "net/send_queue.cpp",
        "const int outcome = place < member ? size :",
        "const int outcome = place <= member ? size :",
    ),
    Mutation(
        "writers are not told of room in the queue",
        "net/sender.cpp",
        "if (!writers_.empty() && (queue_.failed() || below_low_water())) release_writers",
        "if (!writers_.empty() && queue_.failed()) release_writers",
    ),
    Mutation(
        "a half-close does not wait for what others queue meanwhile",
        "net/stream.cpp",
        "} while (!connection_->sending().idle());",
        "} while (false);",
    ),
    Mutation(
        "room for a send is never heard of",
        "net/sender.cpp",
        "    room_->arm();\n    return false;",
        "    return false;",
    ),
    Mutation(
        "who keeps a lock does not look a second time whether it does",
        "sync/short_mutex.hpp",
        "            if (keeper_.load(std::memory_order_relaxed) == me) [[likely]] {",
        "            if (true) {",
        programs=SHARED,
    ),
    Mutation(
        "a lock has a second keeper",
        "sync/short_mutex.hpp",
        "(first_keeper_ == nullptr || first_keeper_ == last_user_)",
        "true",
        programs=SHARED,
    ),
    Mutation(
        "who comes late takes permits before those who wait",
        "sync/permit_line.hpp",
        "if (!waiting_.empty() || available_ < count) return false;",
        "if (available_ < count) return false;",
        programs=SHARED,
    ),
    Mutation(
        "senders of a channel are not told of its end",
        "sync/channel_state.hpp",
        "        senders_.let_all_go(errc::closed);\n",
        "",
        programs=SHARED,
    ),
    Mutation(
        "a place in a channel is not given to who waits for one",
        "sync/channel_state.hpp",
        "            kept_.pop_front();\n            admit_senders();\n",
        "            kept_.pop_front();\n",
        programs=SHARED,
    ),
]
