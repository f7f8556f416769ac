"""Runs a server for clients of Redis under redis-benchmark, which comes with Redis, and takes its figures.

redis-benchmark compares no reply. So each key gets a value before it begins, and is asked for when it has ended: what it has set, it has
set to one value of the same length.
"""

import collections
import csv
import functools
import shutil
import socket
import subprocess
import threading

import harness
from contestants import BenchmarkError, Load, serving, settle
from meter import Meter

PROGRAM = "redis-benchmark"
KEYS = 100_000
VALUE = b"xxx"
OK = b"+OK\r\n"
# About as many requests are answered in a second, where the server is fast: a run takes as long as it should, or longer.
PER_SECOND_ALONE = 50_000
PER_SECOND_PIPELINED = 700_000


def real_server():
    """Debian's redis-tools has the server too, under the name of another program that it is."""
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


def load(command, clients, pipeline):
    flow = "one request at a time" if pipeline == 1 else f"{pipeline} requests at a time"
    options = ("-t", command, "-c", str(clients), "-P", str(pipeline), "-r", str(KEYS), "--precision", "3", "--csv")
    return Load(f"{clients} clients, {flow}, {KEYS:,} keys", PROGRAM, options, len(VALUE))


def measure(contestant, load, build, seconds, warmup):  # pylint: disable=unused-argument,redefined-outer-name
    """What redis-benchmark saw, and what the server used meanwhile."""
    alone = load.options[load.options.index("-P") + 1] == "1"
    requests = int(seconds * (PER_SECOND_ALONE if alone else PER_SECOND_PIPELINED))
    with serving(contestant) as server:
        host, port = server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), harness.GRACE_SECONDS) as connected:
            set_all, get_all = _requests()
            if _exchange(contestant, connected, set_all, len(OK)) != {OK: KEYS}:
                raise BenchmarkError(f"{contestant.name}: wrong replies to SET")
            meter = Meter(server.process.pid)
            ran = subprocess.run(
                [PROGRAM, "-h", host, "-p", port, "-n", str(requests), *load.options],
                capture_output=True,
                text=True,
                timeout=seconds + harness.GRACE_SECONDS,
                preexec_fn=lambda: settle(server.client_cores),
                check=False,
            )
            window = meter.stop()
            values = _exchange(contestant, connected, get_all, len(_bulk(VALUE)))
            if len(values) > (2 if "set" in load.options else 1) or any(_bulk(each[4:-2]) != each for each in values):
                raise BenchmarkError(f"{contestant.name}: wrong values of keys: {values}")
        server.stop()
    if ran.returncode != 0 or "rror" in ran.stdout:
        raise BenchmarkError(f"{PROGRAM} failed against {contestant.name}: {ran.stdout} {ran.stderr}")
    (seen,) = csv.DictReader(ran.stdout.splitlines())
    cpu_us = window.cpu_ns / 1e3 / requests
    return {
        "per_second": float(seen["rps"]),
        "cpu_us": cpu_us,
        "per_cpu_second": 1e6 / cpu_us,
        **({} if window.user_share is None else {"user_us": cpu_us * window.user_share}),
        "p50_us": 1e3 * float(seen["p50_latency_ms"]),
        "p99_us": 1e3 * float(seen["p99_latency_ms"]),
        "busy": window.cpu_ns / window.wall_ns,
    }


def _bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


@functools.cache
def _requests():
    """What sets all keys, and what gets them."""
    keys = [_bulk(b"key:%012d" % number) for number in range(KEYS)]
    set_all = b"".join(b"*3\r\n$3\r\nSET\r\n" + key + _bulk(VALUE) for key in keys)
    return set_all, b"".join(b"*2\r\n$3\r\nGET\r\n" + key for key in keys)


def _exchange(contestant, connected, requests, length):
    """How many there are of each of the replies, which are to have this length each."""
    sending = threading.Thread(target=connected.sendall, args=(requests,))
    sending.start()
    received = bytearray()
    while len(received) < KEYS * length:
        part = connected.recv(1 << 20)
        if not part:
            raise BenchmarkError(f"{contestant.name} closed a connection")
        received += part
    sending.join()
    return collections.Counter(bytes(received[at : at + length]) for at in range(0, len(received), length))
