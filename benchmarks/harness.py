"""Runs a contestant once, and takes its figures.

Figures are a dict of numbers; one that does not apply, or that the system does not tell, is not in it. Standard library only.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from contestants import BenchmarkError, serving, settle
from meter import Meter, cpu_time, status_kib

# The server's CPU time is read when the client says so, some milliseconds late, and scaled to the client's window. If the two differ
# by more than this share the run is repeated.
LATE_SHARE = 0.05
ATTEMPTS = 3
# What a run may take beyond its own length before the client is given up.
GRACE_SECONDS = 20
SETTLE_SECONDS = 0.2
# Datagrams that a receiver may find joined to one: as many as a sender hands over at a time.
MOST_JOINED = 64


def measure(contestant, load, build, seconds, warmup):
    """Of a server that answers: what a client saw, and what the server used meanwhile."""
    client = client_program(build, load)
    _be_punctual()
    for _ in range(ATTEMPTS):
        with serving(contestant) as server:
            result, window = _run_client(client, server, load, seconds, warmup)
            peak = status_kib(server.process.pid, "VmHWM")
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
        begun, _ = cpu_time(server.process.pid)
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
        before = status_kib(server.process.pid, "RssAnon")
        for _ in range(count):
            connected = connect()
            connected.sendall(b"x" * load.size)
            _receive_exactly(connected, load.size)
        grown = status_kib(server.process.pid, "RssAnon") - before
        cpu, _ = cpu_time(server.process.pid)
        time.sleep(seconds)
        used = cpu_time(server.process.pid)[0] - cpu
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


def _receive_exactly(connected, size):
    while size > 0:
        part = connected.recv(min(size, 65536))
        if not part:
            raise BenchmarkError("the server closed a connection")
        size -= len(part)


def _be_punctual():
    """Real-time priority for the harness alone, where that is allowed: it sleeps, but must not wake up late."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
