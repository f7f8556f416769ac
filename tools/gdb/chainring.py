"""The tree of tasks of a chainring program, for gdb: of a process, or of its core file.

    (gdb) source tools/gdb/chainring.py
    (gdb) chainring-tasks

It prints what executor::dump prints, of each thread that runs an executor: every coroutine with the place where it is
suspended, and below it what it waits for. But for what only the kernel knows: the own addresses of sockets, and the peers of
unix sockets and of direct descriptors. Of a process of this machine times count up to now; a core file does not say when it was
written, so there they count up to the beginning of the executor's last turn.
"""

import re
import socket
import time

import gdb

UNFILTERED = "--unfiltered"
MOST_DEPTH = 100  # as task_tree::deepest
NO_DEADLINE = 2**63 - 1
# As operation_name (runtime/audit.cpp) has them.
OPERATIONS = {
    1: "readv",
    2: "writev",
    3: "fsync",
    6: "poll",
    9: "send",
    10: "receive of a message",
    13: "accept",
    16: "connect",
    19: "close",
    22: "read",
    23: "write",
    26: "send",
    27: "receive",
    47: "zero-copy send",
}
# Of classes whose name is not what executor::dump says.
WORDS = {
    "offload": "blocking work",
    "signal": "a signal",
    "tick": "sleep",
    "child": "the end of a child",
    "close": "close of",
    "receive_into": "receive",
    "receive_fd": "receive of descriptors",
    "send_fd": "send",
    "release": "release of",
    "listener_release": "release of",
    "send_to_channel": "send to a channel",
    "receive_from_channel": "receive from a channel",
    "notification": "condition",
    "acquire_tokens": "rate limiter",
}
# An operation is smaller than that, with all that is around it.
MOST_SIZE_OF_WAITER = 1024


def fields_of(value):
    """All data members, those of base classes too: the most derived first."""
    bases = []
    for field in value.type.fields():
        if field.is_base_class:
            bases.append(value[field])
        elif hasattr(field, "bitpos"):
            yield field.name, value[field]
    for base in bases:
        yield from fields_of(base)


def member(value, name):
    return next((found for known, found in fields_of(value) if known == name), None)


def bases_of(kind):
    yield kind
    for field in kind.fields():
        if field.is_base_class:
            yield from bases_of(field.type.strip_typedefs())


def is_a(value, pattern):
    return any(re.match(pattern, base.name or "") for base in bases_of(value.type))


def text_at(pointer):
    return pointer.string(errors="replace") if int(pointer) else "?"


def nanoseconds(time_point):
    return int(time_point["__d"]["__r"])


def in_seconds(count):
    return f"{count / 1e9:.1f} s"


def backwards(text):
    """Each position from the end on, and how many brackets are open before it that close behind it."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] in ")>}]") - (text[at] in "(<{[")
        yield at, depth


def split_at_last_bracket(text):
    return next((text[:at] for at, depth in backwards(text) if depth == 0 and text[at] in "(<{["), "")


def short_name(function):
    """Without its type, its parameters and the arguments of templates."""
    if function.endswith("]"):
        function = split_at_last_bracket(function)
    function = function.rstrip().removesuffix(" const")
    if function.endswith(")"):  # GCC gives some lambdas without their call operator
        function = split_at_last_bracket(function)
    function = function.removesuffix("::operator()")
    type_end = next((at for at, depth in backwards(function) if depth == 0 and function[at] == " "), -1)
    function = function[type_end + 1 :]
    is_template = function.endswith(">") and not function.endswith(")>")
    return split_at_last_bracket(function) if is_template else function


def quoted(name):
    """On one line, whatever is in it."""
    escaped = {'"': '\\"', "\\": "\\\\", "\n": "\\n"}
    return '"' + "".join(escaped.get(c, c if c.isprintable() else f"\\x{ord(c):02x}") for c in name) + '"'


def string_of(value):
    """A std::string."""
    return value["_M_dataplus"]["_M_p"].string(errors="replace", length=int(value["_M_string_length"]))


def address(family, host, port, interface=0):
    """As endpoint::to_string has it, but with the number of an interface in place of its name."""
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(family, host[:4])}:{port}"
    zone = f"%{interface}" if interface else ""
    return f"[{socket.inet_ntop(family, host)}{zone}]:{port}"


def bytes_of(value):
    return bytes(gdb.selected_inferior().read_memory(int(value.address), value.type.sizeof))


def peer_of(connection):
    """", connected to ...", of a connected internet socket."""
    far_end = member(connection, "far_end_")
    family = int(far_end["family_"]) if far_end is not None else 0
    if family == 0:
        return ""
    port = socket.ntohs(int(far_end["port_"]))
    return ", connected to " + address(family, bytes_of(far_end["address_"]), port, int(far_end["interface_"]))


def text_of_endpoint(endpoint):
    native = bytes_of(endpoint["storage_"])[: int(endpoint["length_"])]
    family = int.from_bytes(native[:2], "little")
    if family == socket.AF_UNIX:
        name = native[2:]
        text = "@" + name[1:].decode(errors="replace") if name[:1] == b"\0" else name.split(b"\0")[0].decode(errors="replace")
        return "unix:" + text
    if family == socket.AF_INET:
        return address(family, native[4:8], int.from_bytes(native[2:4], "big"))
    return address(family, native[8:24], int.from_bytes(native[2:4], "big"), int.from_bytes(native[24:28], "little"))


def runs_here():
    """The program is a process of this machine."""
    connection = getattr(gdb.selected_inferior(), "connection", None)
    return connection is not None and connection.type == "native"


def dynamic_type_name(pointer):
    """By the symbol of its table of virtual functions: gdb warns of the types that it does not find."""
    table = pointer.cast(gdb.lookup_type("void").pointer().pointer()).dereference()
    symbol = gdb.execute(f"info symbol {int(table)}", to_string=True)
    found = re.match(r"vtable for (.*) \+ \d+", symbol)
    return found[1] if found else ""


def as_derived(pointer):
    """What it points to, as what that is. The name of a type has numbers without their suffixes, and that of its table with them."""
    name = re.sub(r"\b(\d+)u?l?\b", r"\1", dynamic_type_name(pointer))
    try:
        kind = gdb.lookup_type(name)
    except gdb.error:
        return pointer.cast(pointer.dynamic_type).dereference()
    return pointer.cast(kind.pointer()).dereference()


def nodes_in(nodes, kind):
    """Pointers to what is in an intrusive list."""
    node_type = nodes["head_"].type.pointer()
    head = int(nodes["head_"].address)
    pointer = gdb.lookup_type(kind).pointer()
    each = nodes["head_"]["next_"]
    while int(each) != head:
        yield each.cast(node_type).cast(pointer)
        each = each["next_"]


def deadlines_below(root):
    """Of all that wait in the scopes below, by the address of the waiter."""
    deadlines = {}
    scopes = [root]
    for scope in scopes:
        for waiter in nodes_in(scope["waiting_"], "chainring::waiter"):
            deadlines[int(waiter)] = nanoseconds(scope["deadline_"])
        scopes += [each.dereference() for each in nodes_in(scope["children_"], "chainring::cancel_scope")]
    return deadlines


class TaskTree:
    def __init__(self, executor):
        self.executor = executor
        self.shown_groups = set()
        self.now = time.monotonic_ns() if runs_here() else nanoseconds(executor["now_"])
        self.ready = {int(each) for each in nodes_in(executor["ready_"]["waiting_"], "chainring::waiter")}
        self.deadlines = deadlines_below(executor["root_scope_"])
        self.promise = gdb.lookup_type("chainring::promise_base").pointer()

    def show(self):
        for root in nodes_in(self.executor["roots_"], "chainring::root_task"):
            self.coroutine(root["promise_"].referenced_value(), 0)

    def line(self, depth, text):
        print("  " * depth + text)

    def coroutine(self, promise, depth):
        site = promise["site_"]
        waits_for = site["waits_for_"]
        if depth >= MOST_DEPTH:
            self.line(depth, "what is deeper is left out")
            return
        if not int(waits_for):
            self.line(depth, "a coroutine that runs or is about to")
            return
        stop = site["stop_"]
        where = stop["where"]["_M_impl"]
        place = f"{short_name(text_at(where['_M_function_name']))} at {text_at(where['_M_file_name'])}:{int(where['_M_line'])}"
        if int(waits_for) in self.ready:
            self.line(depth, place + ": about to go on")
            return
        since = nanoseconds(stop["since"])
        # What waits in no scope has the deadline of its task.
        deadline = self.deadlines.get(int(waits_for), nanoseconds(promise["scope_"]["deadline_"]))
        # gdb does not find a type that is made for a lambda in a coroutine.
        of_a_lambda = re.search(r"\b(offload|uring)_operation<", dynamic_type_name(waits_for))
        if of_a_lambda:
            text = WORDS["offload"] if of_a_lambda[1] == "offload" else self.ring_operation(int(waits_for))
            self.line(depth, f"{place}: {text}, for {in_seconds(self.now - since)}" + self.until(deadline))
            return
        waiter = as_derived(waits_for)
        held = member(waiter, "holder")
        child = member(waiter, "child_")
        group = member(waiter, "group_")
        if is_a(waiter, "chainring::task_waiter<") and child is not None:
            name = member(waiter, "name_")
            self.line(depth, place + ", in" + (f" {quoted(string_of(name.referenced_value()))}" if name is not None else ""))
            self.coroutine(self.promise_of(child), depth + 1)
            if held is not None and member(held, "children") is not None:
                self.children(member(held, "children").referenced_value(), depth + 1)
            return
        generator = member(waiter, "generator_")
        if generator is not None:
            self.line(depth, place + ", in")
            self.coroutine(self.promise_of(generator, generator.type.template_argument(0)), depth + 1)
            return
        self.line(depth, f"{place}: {self.operation(waiter)}, for {in_seconds(self.now - since)}" + self.until(deadline))
        if is_a(waiter, "chainring::task_group::join_awaiter") and group is not None:
            self.children(group.referenced_value(), depth + 1)

    def until(self, deadline):
        return "" if deadline == NO_DEADLINE else f", deadline in {in_seconds(deadline - self.now)}"

    def ring_operation(self, waiter):
        """Of the operations in flight the one that lies in the waiter."""
        table = self.executor["slots_"]
        chunks = table["chunks_"]["_M_impl"]["_M_start"].cast(gdb.lookup_type("chainring::slot").pointer().pointer())
        for index in range(int(table["size_"])):
            slot = chunks[index // 256][index % 256]
            if 0 <= int(slot["target"]) - waiter < MOST_SIZE_OF_WAITER:
                opcode = int(slot["opcode"])
                name = OPERATIONS.get(opcode, f"operation with opcode {opcode}")
                return f"{name} on descriptor {int(slot['descriptor'])}"
        return "an operation that has ended"

    def promise_of(self, handle, kind=None):
        # A frame begins with two function pointers; the promise follows.
        frame = int(handle["_M_fr_ptr"])
        pointer = kind.pointer() if kind is not None else self.promise
        return gdb.Value(frame + 2 * pointer.sizeof).cast(pointer).dereference()

    def children(self, group, depth):
        # Both a body that joins and its scope have it to show.
        if int(group.address) in self.shown_groups:
            return
        self.shown_groups.add(int(group.address))
        for name in ("running_", "starting_"):
            child = group[name]["first_"]
            while int(child):
                if name == "running_":
                    self.coroutine(child.dereference(), depth)
                else:
                    self.line(depth, "a task that has not started")
                child = child["next_"]

    def operation(self, waiter):
        kind = re.sub(r"chainring::|detail::|operation_until_shutdown<|try_awaiter<|scoped_awaiter<[^,]*,|timed_awaiter<", "", waiter.type.name)
        kind = re.sub(r"<.*|>.*", "", kind).strip()
        text = re.sub(r"_(operation|waiter|awaiter)$", "", kind.split("::")[-1])
        text = WORDS.get(text, text)
        what = member(waiter, "what_")  # of the primitives in sync/
        if what is not None:
            return what.string()
        group = member(waiter, "group_")
        if group is not None and text in ("join", "spawn"):
            size = int(group.referenced_value()["children_"])
            if text == "spawn":
                return f"a place among {size} children"
            return f"the end of {size} children" if size else "the last handle for other threads"
        to = member(waiter, "to_")
        if to is not None and (to.type.name or "") == "chainring::endpoint":
            return f"{text} to {text_of_endpoint(to)}"
        for name in ("from_", "to_", "socket_", "acceptor_"):
            pointed = member(waiter, name)
            if pointed is None or pointed.type.code != gdb.TYPE_CODE_PTR or not int(pointed):
                continue
            of = member(pointed.dereference(), "socket_")  # of a sender or a receiver
            held = of.referenced_value() if of is not None else pointed.dereference()
            held = held.cast(held.dynamic_type)
            handles = (found for _, found in fields_of(held) if found.type.name == "chainring::file_handle")
            for handle in handles:
                kind = "direct descriptor" if handle["direct"] else "descriptor"
                on = "" if text.endswith(" of") else " on"
                return f"{text}{on} {kind} {int(handle['number'])}{peer_of(held)}"
        return text


def executor_of_thread():
    """That of executor::run, somewhere on the stack."""
    frame = gdb.newest_frame()
    while frame is not None:
        if "chainring::executor::" in (frame.name() or ""):
            try:
                this = frame.read_var("this")
                if not this.is_optimized_out and this.type.strip_typedefs().target().unqualified().name == "chainring::executor":
                    return this.dereference()
            except (ValueError, RuntimeError, gdb.error):
                pass
        frame = frame.older()
    return None


class ChainringTasks(gdb.Command):
    """Prints the tree of tasks of each thread that runs a chainring executor."""

    def __init__(self):
        super().__init__("chainring-tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if argument != UNFILTERED:
            # gdb warns again and again of the types that as_derived finds in another way.
            for line in gdb.execute(f"chainring-tasks {UNFILTERED}", from_tty, to_string=True).splitlines():
                if not line.startswith("warning: RTTI symbol not found"):
                    print(line)
            return
        before = gdb.selected_thread()
        found = False
        for thread in sorted(gdb.selected_inferior().threads(), key=lambda each: each.num):
            thread.switch()
            executor = executor_of_thread()
            if executor is not None:
                found = True
                print(f"executor of thread {thread.num} ({thread.name or '?'}):")
                TaskTree(executor).show()
        if before is not None:
            before.switch()
        if not found:
            print("no thread runs an executor")


ChainringTasks()
