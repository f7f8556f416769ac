"""Runs servers side by side under one client, and takes their figures.

The server is pinned to core 0 and the client to core 1. Contestants are interleaved (A B C A B C ...), because only the
ratio of two figures taken moments apart says something on a machine that other work shares. Standard library only.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from mode_sampler import ModeSampler

SERVER_CORE = 0
CLIENT_CORE = 1
# Below this a server waited for its client: its messages per second say nothing about it.
BUSY_ENOUGH = 0.85
START_SECONDS = 10
# The server's CPU time is read when the client says so. Read later than by this share of the window, it belongs to another
# number of messages, and the run is repeated.
LATE_SHARE = 0.01
ATTEMPTS = 3
# What a run may take beyond its own length before the client is given up.
GRACE_SECONDS = 20


class BenchmarkError(Exception):
    """Something the user can act on: a program that is missing, does not start or answers wrongly."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    name: str
    command: tuple[str, ...]  # --listen is added
    listen: str = "127.0.0.1:0"
    cores: tuple[int, ...] = (SERVER_CORE,)
    client_cores: tuple[int, ...] = (CLIENT_CORE,)


@dataclasses.dataclass(frozen=True)
class Shape:
    connections: int = 64
    size: int = 64
    depth: int = 1

    def client_options(self):
        return ("--connections", str(self.connections), "--size", str(self.size), "--depth", str(self.depth))

    def __str__(self):
        flow = "ping-pong" if self.depth == 1 else f"{self.depth} in flight per connection"
        return f"{self.connections} connections x {self.size} B, {flow}"


@dataclasses.dataclass(frozen=True)
class Load:
    """What a client of its own does, as a Shape is what echo_load does."""

    text: str
    size: int  # bytes of a message
    options: tuple[str, ...]

    def client_options(self):
        return self.options

    def __str__(self):
        return self.text


@dataclasses.dataclass(frozen=True)
class Figures:
    """One run. None where the figure does not apply or the system does not tell."""

    messages_per_second: float
    p50_us: float | None
    p99_us: float | None
    p999_us: float | None
    cpu_us: float  # server CPU time per message
    user_us: float | None  # the part of it in user space
    system_calls: float | None  # per message
    sqes_per_enter: float | None
    turns_per_wake_up: float | None  # of an executor within another loop
    peak_kib: int
    busy: float  # share of the window in which the server ran
    late: bool  # the CPU time was read late in every attempt: do not trust the per-message figures


def contestants(build):
    """Every server there is, by name; the programs need not have been built."""
    build = pathlib.Path(build)
    echo = str(build / "samples/echo")
    servers = [Contestant(f"chainring {mode}", (echo, "--mode", mode)) for mode in ("throughput", "latency")]
    for program in ("uring_loop", "epoll_loop", "asio_epoll", "asio_uring"):
        servers.append(Contestant(program, (str(build / "benchmarks" / program),)))
    return {server.name: server for server in servers}


def is_built(contestant):
    return os.access(contestant.command[0], os.X_OK)


def client_program(build, path="samples/echo_load"):
    program = pathlib.Path(build) / path
    if not os.access(program, os.X_OK):
        raise BenchmarkError(f"{program} is missing: build it first (ninja -C {build})")
    return str(program)


def measure(contestant, shape, client, seconds, warmup=0.5):
    _be_punctual()
    for _ in range(ATTEMPTS):
        with _server(contestant) as server:
            result, window = _run_client(client, server, shape, seconds, warmup)
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
    served = counters["bytes"] / shape.size if "bytes" in counters else counters.get("messages", 0)
    calls = counters.get("enters", counters.get("system_calls"))
    cpu_us = window.cpu_ns / messages / 1e3
    return Figures(
        messages_per_second=result["messages_per_second"],
        p50_us=result.get("p50_us"),
        p99_us=result.get("p99_us"),
        p999_us=result.get("p999_us"),
        cpu_us=cpu_us,
        user_us=None if window.user_share is None else cpu_us * window.user_share,
        system_calls=calls / served if calls is not None and served else None,
        sqes_per_enter=counters["sqes"] / counters["enters"] if counters.get("enters") and "sqes" in counters else None,
        turns_per_wake_up=counters["turns"] / counters["pumps"] if counters.get("pumps") else None,
        peak_kib=peak,
        busy=window.cpu_ns / window.wall_ns,
        late=late,
    )


def traced_system_calls(contestant, shape, client, seconds=1):
    """System calls per message of a server that does not count them itself, from a short run under strace.

    Only the count is of use: strace makes every call slow. None where strace is missing or may not attach.
    """
    if shutil.which("strace") is None:
        return None
    with _server(contestant) as server, tempfile.NamedTemporaryFile("r") as summary:
        tracer = subprocess.Popen(
            ["strace", "-f", "-c", "-o", summary.name, "-p", str(server.process.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with tracer:
            attached = "attached" in tracer.stderr.readline()
            result, _ = _run_client(client, server, shape, seconds, warmup=0)
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
        server.stop()
        totals = [line.split() for line in summary.read().splitlines() if line.endswith(" total")]
    if not attached or not totals or result["messages"] == 0:
        return None
    return int(totals[0][3]) / result["messages"]


def show_progress(text):
    """One line on a terminal, replaced by the next; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)


def compare(servers, shape, client, rounds, seconds, warmup=0.5, progress=lambda text: None):
    """Interleaved runs: {name: [Figures of round 1, ...]}."""
    runs = {server.name: [] for server in servers}
    for number in range(1, rounds + 1):
        for server in servers:
            progress(f"round {number}/{rounds}: {server.name}")
            runs[server.name].append(measure(server, shape, client, seconds, warmup))
    progress("")
    return runs


def values(runs, figure):
    return [value for run in runs if (value := getattr(run, figure)) is not None]


def median(runs, figure):
    known = values(runs, figure)
    return statistics.median(known) if known else None


def paired(runs, baseline, figure, combine):
    """Combines each round's figure with the baseline's of the same round, as in a ratio or a difference."""
    return [
        combine(getattr(ours, figure), getattr(theirs, figure))
        for ours, theirs in zip(runs, baseline)
        if getattr(ours, figure) is not None and getattr(theirs, figure) is not None
    ]


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
        for line in output.decode().splitlines():
            if line.startswith("counters: "):
                pairs = (word.split("=", 1) for word in line.split()[1:] if "=" in word)
                self.counters = {key: int(value) for key, value in pairs if value.isdigit()}

    def _complaint(self):
        self.process.wait(timeout=10)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return last[0] if last else f"it ended with {self.process.returncode}"


@contextlib.contextmanager
def _server(contestant):
    if not is_built(contestant):
        raise BenchmarkError(f"{contestant.command[0]} is missing: build it first")
    # A file, not a pipe: nobody reads what the server logs while it is measured.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*contestant.command, "--listen", contestant.listen],
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=lambda: _settle(contestant.cores),
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


def _run_client(program, server, shape, seconds, warmup):
    client = subprocess.Popen(
        [
            *(program, "--connect", server.address, "--json"),
            *shape.client_options(),
            *("--seconds", str(seconds), "--warmup", str(warmup)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: _settle(server.client_cores),
    )
    watchdog = threading.Timer(seconds + warmup + GRACE_SECONDS, client.kill)
    watchdog.start()
    try:
        complaints = []
        _wait_for(client, "measuring", complaints)
        meter = _Meter(server.process.pid)
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


class _Meter:
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


def _status_kib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def may_pin():
    return {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0)


def _settle(cores):
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
