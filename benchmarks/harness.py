"""Runs a contestant once, and takes its figures.

The server is pinned to core 0 and the client to core 1. Figures are a dict of numbers; one that does not apply, or that the
system does not tell, is not in it. Standard library only.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from mode_sampler import ModeSampler

SERVER_CORE = 0
CLIENT_CORE = 1
START_SECONDS = 10
# The server's CPU time is read when the client says so, some milliseconds late, and scaled to the client's window. If the two differ
# by more than this share the run is repeated.
LATE_SHARE = 0.05
ATTEMPTS = 3
# What a run may take beyond its own length before the client is given up.
GRACE_SECONDS = 20
SETTLE_SECONDS = 0.2
# Datagrams that a receiver may find joined to one: as many as a sender hands over at a time.
MOST_JOINED = 64


class BenchmarkError(Exception):
    """Something the user can act on: a program that is missing, does not start or answers wrongly."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What a client does. It gets --connect, --seconds, --warmup and --json besides."""

    text: str
    client: str  # the program, in the build directory
    options: tuple[str, ...]
    size: int  # bytes of a message


@dataclasses.dataclass(frozen=True)
class Contestant:
    name: str
    command: tuple[str, ...]  # --listen is added
    listen: str = "127.0.0.1:0"
    cores: tuple[int, ...] = (SERVER_CORE,)
    client_cores: tuple[int, ...] = (CLIENT_CORE,)
    load: Load | None = None  # another one than its shape's
    runs: str | None = None  # the program that is needed, where the command is a script that starts it


def is_built(contestant):
    return shutil.which(contestant.runs or contestant.command[0]) is not None


def measure(contestant, load, build, seconds, warmup):
    """Of a server that answers: what a client saw, and what the server used meanwhile."""
    client = client_program(build, load)
    _be_punctual()
    for _ in range(ATTEMPTS):
        with serving(contestant) as server:
            result, window = _run_client(client, server, load, seconds, warmup)
            peak = _status_kib(server.process.pid, "VmHWM")
            server.stop()
        late = abs(window.wall_ns / 1e9 / result["seconds"] - 1) >= LATE_SHARE
        if not late:
            break

    messages = result["messages"]
    if messages == 0:
        raise BenchmarkError(f"{contestant.name}: not one message came back")
    # The counters span the server's whole life, warm-up included: only their ratios are used.
    counters = server.counters
    served = counters["bytes"] / load.size if "bytes" in counters else counters.get("messages", 0)
    calls = counters.get("enters", counters.get("system_calls"))
    busy = window.cpu_ns / window.wall_ns
    cpu_us = 1e6 * busy * result["seconds"] / messages
    latencies = {name: result.get(name) for name in ("p50_us", "p90_us", "p99_us", "p999_us", "worst_p99_us")}
    figures = {
        "per_second": result["messages_per_second"],
        "cpu_us": cpu_us,
        "per_cpu_second": 1e6 / cpu_us if cpu_us else None,
        "user_us": None if window.user_share is None else cpu_us * window.user_share,
        **latencies,
        "system_calls": calls / served if calls is not None and served else None,
        "sqes_per_enter": counters["sqes"] / counters["enters"] if counters.get("enters") and "sqes" in counters else None,
        "turns_per_wake_up": counters["turns"] / counters["pumps"] if counters.get("pumps") else None,
        "peak_mib": peak / 1024,
        "busy": busy,
        "late": late or None,  # the CPU time was read late in every attempt: do not trust the figures by message
    }
    return {name: value for name, value in figures.items() if value is not None}


def measure_sink(contestant, load, build, seconds, warmup):  # pylint: disable=unused-argument
    """Of a server that receives and does not answer: what it says itself at its end. Whatever the client sent it must have
    received, or the kernel must have counted that there was no room for it. Of datagrams that it would have handed over joined (GRO)
    the kernel counts all as one that it drops."""
    client = client_program(build, load)
    with serving(contestant) as server:
        begun, _ = _cpu_time(server.process.pid)
        sent, _ = _run_client(client, server, load, seconds, warmup=0)
        time.sleep(SETTLE_SECONDS)  # for what is still in the socket
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        server.stop()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    got, dropped = server.counters.get("datagrams", 0), server.counters.get("drops", 0)
    missing = sent["messages"] - got
    most_missing = dropped * (MOST_JOINED if "--gro" in contestant.command else 1)
    if got == 0 or not dropped <= missing <= most_missing:
        raise BenchmarkError(f"{contestant.name}: {sent['messages']} sent, {server.counters}")
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) - begun / 1e9
    return {"per_cpu_second": got / cpu, "cpu_us": 1e6 * cpu / got, "lost_percent": 100 * missing / sent["messages"]}


def measure_idle(contestant, load, build, seconds, warmup):  # pylint: disable=unused-argument
    """Growth of a server's resident memory over many connections, each of which makes one exchange and stays; and how much of a core
    it takes while they stay, for `seconds`.

    Before the count begins what all connections share is cycled once: 64 of them send more than a pool of buffers holds.
    """
    count = int(load.options[load.options.index("--connections") + 1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < count + 200:
        raise BenchmarkError(f"{count} connections need more descriptors than the limit of {most}")
    with serving(contestant) as server, contextlib.ExitStack() as open_ones:

        def connect():
            host, port = server.address.rsplit(":", 1)
            return open_ones.enter_context(socket.create_connection((host, int(port)), GRACE_SECONDS))

        crowd = [connect() for _ in range(64)]
        for _ in range(3):
            for connected in crowd:
                connected.sendall(b"x" * 60_000)
            for connected in crowd:
                _receive_exactly(connected, 60_000)
        open_ones.close()
        before = _status_kib(server.process.pid, "RssAnon")
        for _ in range(count):
            connected = connect()
            connected.sendall(b"x" * load.size)
            _receive_exactly(connected, load.size)
        grown = _status_kib(server.process.pid, "RssAnon") - before
        cpu, _ = _cpu_time(server.process.pid)
        time.sleep(seconds)
        used = _cpu_time(server.process.pid)[0] - cpu
        open_ones.close()
        server.stop()
    return {"bytes_per_connection": grown * 1024 / count, "idle_cpu_percent": used / seconds / 1e7}


def run_program(command, limit_seconds):
    """The table that a program prints, as {row: {column: number}}.

    Its cells are at least two blanks apart. The first line has the names of the columns, the others begin with that of the row.
    A cell without a number is left out.
    """
    if not os.access(command[0], os.X_OK):
        raise BenchmarkError(f"{command[0]} is missing: build it first")
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=limit_seconds, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} took more than {limit_seconds} s") from None
    if ran.returncode != 0:
        raise BenchmarkError(f"{command[0]} ended with {ran.returncode}: {ran.stderr.strip()}")
    first, *others = ran.stdout.splitlines()
    columns = re.split(r"\s{2,}", first.strip())
    table = {}
    for line in others:
        name, *cells = re.split(r"\s{2,}", line.strip())
        numbers = (re.match(r"-?[\d.]+", cell) for cell in cells)
        table[name] = {column: float(number[0]) for column, number in zip(columns, numbers) if number}
    return table


def client_program(build, load):
    program = pathlib.Path(build) / load.client
    if not os.access(program, os.X_OK):
        raise BenchmarkError(f"{program} is missing: build it first (ninja -C {build} contestants)")
    return str(program)


def traced_system_calls(contestant, load, build, seconds=1):
    """System calls per message of a server that does not count them itself, from a short run under strace.

    Only the count is of use: strace makes every call slow. None where strace is missing or may not attach.
    """
    if shutil.which("strace") is None:
        return None
    with serving(contestant) as server, tempfile.NamedTemporaryFile("r") as summary:
        tracer = subprocess.Popen(
            ["strace", "-f", "-c", "-o", summary.name, "-p", str(server.process.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with tracer:
            attached = "attached" in tracer.stderr.readline()
            result, _ = _run_client(client_program(build, load), server, load, seconds, warmup=0)
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
        server.stop()
        totals = [line.split() for line in summary.read().splitlines() if line.endswith(" total")]
    if not attached or not totals or result["messages"] == 0:
        return None
    return int(totals[0][3]) / result["messages"]


@dataclasses.dataclass
class _Window:
    """What the server used while the client measured."""

    cpu_ns: int
    wall_ns: int
    user_share: float | None


class _Server:
    def __init__(self, contestant, process, errors):
        self.name = contestant.name
        self.client_cores = contestant.client_cores
        self.process = process
        self._errors = errors
        self.address = None
        self.counters = {}
        self._lines = b""

    def wait_until_listening(self):
        # Read without a buffered layer, which would hide lines from poll.
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + START_SECONDS
        while b"listening on " not in self._lines or not self._lines.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(descriptor, 4096) if ready else b""
            if not chunk:
                raise BenchmarkError(f"{self.name} does not listen: {self._complaint() if ready else 'timed out'}")
            self._lines += chunk
        self.address = self._lines.split(b"listening on ")[1].split()[0].decode()

    def stop(self):
        """Ends the server the polite way and reads its counters."""
        self.process.send_signal(signal.SIGTERM)
        try:
            output, _ = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.name} did not end within 10 s of SIGTERM") from None
        if self.process.returncode not in (0, -signal.SIGTERM):  # a program without a handler dies of it
            raise BenchmarkError(f"{self.name} ended with {self.process.returncode} after SIGTERM")
        self.counters = {key: int(value) for key, value in re.findall(r"\b(\w+)=(\d+)\b", output.decode())}

    def _complaint(self):
        self.process.wait(timeout=10)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return last[0] if last else f"it ended with {self.process.returncode}"


@contextlib.contextmanager
def serving(contestant):
    if not is_built(contestant):
        raise BenchmarkError(f"{contestant.command[0]} is missing: build it first")
    # A file, not a pipe: nobody reads what the server logs while it is measured.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*contestant.command, "--listen", contestant.listen],
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=lambda: settle(contestant.cores),
        )
        try:
            server = _Server(contestant, process, errors)
            server.wait_until_listening()
            yield server
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()


def _run_client(program, server, load, seconds, warmup):
    client = subprocess.Popen(
        [
            *(program, "--connect", server.address, "--json"),
            *load.options,
            *("--seconds", str(seconds), "--warmup", str(warmup)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: settle(server.client_cores),
    )
    watchdog = threading.Timer(seconds + warmup + GRACE_SECONDS, client.kill)
    watchdog.start()
    try:
        complaints = []
        _wait_for(client, "measuring", complaints)
        meter = Meter(server.process.pid)
        _wait_for(client, "measured", complaints)
        window = meter.stop()
        output, rest = client.communicate()
    finally:
        watchdog.cancel()
        if client.poll() is None:
            client.kill()
            client.wait()
    try:
        result = json.loads(output)
    except json.JSONDecodeError:
        complaints += rest.splitlines()
        reason = complaints[-1] if complaints else f"it ended with {client.returncode}"
        raise BenchmarkError(f"the client failed against {server.name}: {reason}") from None
    if client.returncode != 0 or result["wrong"] or result["errors"]:
        raise BenchmarkError(
            f"{server.name}: {result['wrong']} wrong replies, {result['errors']} errors (client exit {client.returncode})"
        )
    return result, window


def _wait_for(client, marker, complaints):
    for line in client.stderr:
        if line.strip() == marker:
            return
        complaints.append(line.strip())


class Meter:
    """The CPU time of a process over a window of time."""

    def __init__(self, pid):
        self._pid = pid
        try:
            self._sampler = ModeSampler(pid)
        except OSError:
            self._sampler = None
        self._wall = time.monotonic_ns()
        self._cpu, self._ticks = _cpu_time(pid)

    def stop(self):
        cpu, ticks = _cpu_time(self._pid)
        wall = time.monotonic_ns()
        user, system = self._sampler.stop() if self._sampler else (now - then for now, then in zip(ticks, self._ticks))
        share = user / (user + system) if user + system else None
        return _Window(cpu - self._cpu, wall - self._wall, share)


def _cpu_time(pid):
    """(nanoseconds of all threads, (user ticks, system ticks))."""
    try:
        # Reading stat first makes the kernel bring the running threads' schedstat up to date.
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
        total = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    except FileNotFoundError:
        raise BenchmarkError(f"the server (pid {pid}) is gone: it crashed, or /proc/PID/schedstat is not there") from None
    return total, (int(stat[11]), int(stat[12]))


def _receive_exactly(connected, size):
    while size > 0:
        part = connected.recv(min(size, 65536))
        if not part:
            raise BenchmarkError("the server closed a connection")
        size -= len(part)


def _status_kib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def may_pin():
    return {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0)


def settle(cores):
    """In the child: its cores, and precedence over whatever else the machine does, where that is allowed.

    A session of its own matters where the scheduler shares the CPU among sessions first (autogroup): there a nice
    value counts only inside the session.
    """
    os.setsid()
    if may_pin():
        os.sched_setaffinity(0, cores)
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/autogroup").write_text("-20")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)


def _be_punctual():
    """Real-time priority for the harness alone, where that is allowed: it sleeps, but must not wake up late."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
