"""What is measured: each shape is a load and the contestants that bear it, or a program that compares within itself.

The first contestants are chainring's, whose names begin with its own.
"""

import dataclasses
import os
import pathlib
import shutil
import socket

import harness
import redis_benchmark
from contestants import CLIENT_CORE, SERVER_CORE, Contestant, Load
from programs import Programs, echo_load, paced_load
from shape import Shape, Table

# They are left out where there is little time.
FURTHER_PEERS = ("Asio callbacks", "libuv", "Go")
MODES_DIFFER_IN = ("per_second", "p50_us", "p99_us", "cpu_us")


def shapes(build, liburing_proxy=None):
    programs = Programs(build)
    yield from _echo_shapes(programs)
    yield from _send_shapes(programs, liburing_proxy)
    yield from _datagram_shapes(programs)
    yield from _waiting_shapes(programs)
    yield from _placement_shapes(programs)
    yield from _redis_shapes(programs)
    yield from _mode_shapes(programs)
    yield from _tables(programs)


def _echo_shapes(programs):
    for size in (64, 4096):
        for connections in (1, 64, 1000):
            load = echo_load(connections, size)
            # A receive that fills its buffer is followed by another one, which finds nothing.
            larger = ("--buffer", "8192") if size == 4096 else ()
            yield Shape(
                f"echo-{connections}x{size}",
                f"Echo, {load.text}",
                load,
                (*programs.chainring_echo(), *programs.echo_peers(shared=larger)),
                "liburing loop",
                times_the_rounds=3 if (connections, size) == (64, 64) else 1,
                skipped_when_quick=connections == 1 or (connections, size) == (1000, 4096),
                not_when_quick=FURTHER_PEERS,
            )
    load = echo_load(16, 65536)
    # chainring's echo receives into blocks of the pool, of 4 KiB; all others into as much as a message has. The loop by hand is at its
    # best with buffers that stay in the cache.
    contestants = (
        programs.benchmark("chainring into own memory", "replies", "--own", "65536"),
        *programs.chainring_echo(),
        *programs.echo_peers("--buffer", "65536", loop=("--buffers", "128")),
    )
    yield Shape(
        "streaming",
        f"Streaming, {load.text}",
        load,
        contestants,
        "liburing loop",
        warmup=0.4,
        not_when_quick=("chainring latency", "Asio on io_uring", *FURTHER_PEERS),
    )


def _send_shapes(programs, liburing_proxy):
    load = echo_load(64, 64, depth=16)
    yield Shape(
        "pipelined",
        f"Pipelined requests, {load.text}",
        load,
        (
            programs.benchmark("chainring write per reply", "replies"),
            *programs.chainring_echo(),
            programs.benchmark("Asio write per reply", "asio_replies"),
            *programs.echo_peers(),
        ),
        "liburing loop",
        not_when_quick=FURTHER_PEERS,
    )
    records = f"unix:@records-{os.getpid()}"
    yield Shape(
        "seqpacket",
        "Unix SEQPACKET, 64 connections, bursts of 16 records of 256 B",
        Load("", "benchmarks/records_load", ("--connections", "64"), 256),
        (
            programs.benchmark("chainring", "records", listen=records),
            programs.benchmark("epoll loop", "epoll_records", listen=records),
            programs.benchmark("Asio coroutines", "asio_records", listen=records),
        ),
        "epoll loop",
        unit="record",
    )
    yield Shape(
        "fan-out",
        "Fan-out, 1 publisher to 1000 subscribers, 256 B, 8 in flight",
        Load("", "benchmarks/fan_out_load", ("--connections", "1000", "--depth", "8"), 256),
        (
            programs.benchmark("chainring", "fan_out"),
            programs.benchmark("epoll loop", "epoll_fan_out"),
            programs.benchmark("Asio callbacks", "asio_fan_out"),
            programs.benchmark("Asio callbacks gathering", "asio_fan_out", "--gather"),
        ),
        "epoll loop",
        unit="delivery",
        not_when_quick=("Asio callbacks gathering",),
    )
    sink = f"127.0.0.1:{_free_port()}"
    yield Shape(
        "proxy",
        "Proxy, 16 streams in blocks of 64 KiB",
        Load("", "benchmarks/proxy_load", ("--connections", "16", "--sink", sink), 65536),
        (
            programs.sample("chainring", "proxy", "--connect", sink),
            programs.benchmark("liburing loop", "uring_proxy", "--connect", sink),
            programs.benchmark("Asio coroutines", "asio_proxy", "--connect", sink),
            *([_liburing_example(liburing_proxy, sink)] if liburing_proxy else []),
        ),
        "liburing loop",
        unit="block",
        warmup=0.6,
    )
    yield Shape(
        "churn",
        "Churn: connect, exchange 64 B, close; 16 at a time",
        Load("", "benchmarks/churn_load", ("--connections", "16"), 64),
        programs.echo(),
        "liburing loop",
        unit="connection",
        not_when_quick=FURTHER_PEERS,
    )


def _liburing_example(program, sink):
    wrapper = pathlib.Path(__file__).parent / "peers" / "liburing_example.py"
    return Contestant("liburing's example", ("python3", str(wrapper), program, "--connect", sink))


def _datagram_shapes(programs):
    def sinks(*chainring, by_hand=()):
        return (
            *chainring,
            programs.benchmark("recvmmsg loop", "epoll_udp_sink", *by_hand),
            programs.benchmark("Asio one at a time", "asio_udp_sink"),
        )

    alone = programs.sample("chainring", "udp_sink")
    into = programs.sample("chainring into memory", "udp_sink", "--into")
    joined = programs.sample("chainring with GRO", "udp_sink", "--gro")
    for name, title, contestants, options in (
        ("datagrams", "Datagrams of 1200 B, sent one by one", sinks(alone, into), ()),
        ("datagrams-gso", "Datagrams of 1200 B, sent with GSO", sinks(joined, alone, by_hand=("--gro",)), ("--gso",)),
    ):
        load = Load("", "benchmarks/udp_load", ("--size", "1200", *options), 1200)
        yield Shape(
            name, title, load, contestants, "recvmmsg loop", unit="datagram", measure=harness.measure_sink
        )


def _waiting_shapes(programs):
    for rate in (5_000, 20_000):
        load = paced_load(64, rate)
        yield Shape(
            f"paced-{rate}",
            f"Latency at a fixed rate: {load.text}",
            load,
            programs.echo(),
            "liburing loop",
            skipped_when_quick=rate < 20_000,
            not_when_quick=FURTHER_PEERS,
        )

    alone = paced_load(100, 20_000)

    def both(name, program):
        return (dataclasses.replace(program, name=f"{name} alone", load=alone), dataclasses.replace(program, name=name))

    for name, beside in (
        ("fairness", paced_load(100, 20_000, fast=65536)),
        ("fairness-datagrams", paced_load(100, 20_000, fast=1200, datagrams=True)),
    ):
        yield Shape(
            name,
            f"Fairness: {beside.text}",
            beside,
            (
                *both("chainring throughput", programs.benchmark("", "answers", "--mode", "throughput")),
                *both("chainring latency", programs.benchmark("", "answers", "--mode", "latency")),
            ),
            "chainring throughput",
        )
    yield Shape(
        "idle",
        "Memory of an idle connection, 9000 connections after an exchange of 64 B each",
        Load("", "samples/echo_load", ("--connections", "9000"), 64),
        programs.echo(),
        "liburing loop",
        unit="connection",
        measure=harness.measure_idle,
        rounds=3,
        not_when_quick=("Asio on io_uring", *FURTHER_PEERS),
    )


def _placement_shapes(programs):
    load = echo_load(64, 64)
    hosts = {"epoll": "embed_epoll", "Asio": "embed_asio", "libuv": "embed_libuv", "GLib": "embed_glib"}
    for mode in ("throughput", "latency"):
        yield Shape(
            f"embedded-{mode}",
            f"Within another loop, {mode} mode: {load.text}",
            load,
            (
                *(programs.sample(f"chainring in {name}", host, "--mode", mode) for name, host in hosts.items()),
                programs.sample("chainring alone", "echo", "--mode", mode),
            ),
            "chainring alone",
            times_the_rounds=3,
            skipped_when_quick=mode == "latency",
        )
    cores = {"cores": (SERVER_CORE, CLIENT_CORE), "client_cores": (SERVER_CORE, CLIENT_CORE)}
    for name, load in (("threads", load), ("threads-1000", echo_load(1000, 64))):
        yield Shape(
            name,
            f"Two executors, client and server on the same two cores: {load.text}",
            load,
            (
                programs.sample("chainring 2 threads", "echo", "--threads", "2", **cores),
                programs.sample("chainring 1 thread", "echo", "--threads", "1", **cores),
                programs.benchmark("liburing loop, 2 threads", "uring_loop", "--threads", "2", **cores),
                programs.benchmark("liburing loop, 1 thread", "uring_loop", **cores),
            ),
            "chainring 1 thread",
            beside=(("chainring 2 threads", "chainring 1 thread"), ("liburing loop, 2 threads", "liburing loop, 1 thread")),
            warmup=0.4,
            times_the_rounds=3,
            skipped_when_quick=name != "threads",
        )


def _redis_shapes(programs):
    """Where redis-benchmark is missing there are none."""
    if not shutil.which(redis_benchmark.PROGRAM):
        return
    wrapper = pathlib.Path(__file__).parent / "peers" / "redis_server.py"
    real = redis_benchmark.real_server() or "redis-server"
    for command, clients, pipeline in (
        ("get", 8, 1),
        *((command, clients, pipeline) for pipeline in (1, 16) for clients in (50, 500) for command in ("get", "set")),
    ):
        load = redis_benchmark.load(command, clients, pipeline)
        # It gathers completions in the other mode, which is for many clients that ask for one thing at a time.
        latency = (programs.sample("chainring latency", "redis", "--mode", "latency"),) if pipeline == 1 else ()
        yield Shape(
            f"redis-{pipeline}x{clients}-{command}",
            f"{command.upper()} by redis-benchmark: {load.text}",
            load,
            (
                programs.sample("chainring throughput", "redis"),
                *latency,
                Contestant("redis-server", ("python3", str(wrapper), real), runs=real),
            ),
            "redis-server",
            unit="request",
            measure=redis_benchmark.measure,
            times_the_rounds=3 if (clients, pipeline) == (50, 1) else 1,
            skipped_when_quick=clients != 50 or command != "get" or pipeline == 1,
        )


def _mode_shapes(programs):
    """The two modes and nobody else: where the load leaves the core idle, where it does not, and beside an application that
    computes, on the executor's thread or all the time on another thread of its core."""

    def shape(name, load, contestants, computing="", **more):
        title = f"The two modes, {load.text}{computing}"
        return Shape(
            f"modes-{name}", title, load, contestants, "chainring throughput", skipped_when_quick=True, **{"compared": MODES_DIFFER_IN, **more}
        )

    def answering(*arguments):
        return tuple(
            programs.benchmark(f"chainring {mode}", "answers", "--mode", mode, *arguments) for mode in ("throughput", "latency")
        )

    yield shape("alone", echo_load(1, 64), programs.chainring_echo())
    yield shape("paced", paced_load(100, 20_000), answering())
    yield shape("saturated", echo_load(64, 64), programs.chainring_echo())
    yield shape("pipelined", echo_load(64, 64, depth=16), programs.chainring_echo())
    yield shape("working", paced_load(100, 10_000), answering("--work", "50"), ", 50 us of computing for each")
    for name, load in (("busy", paced_load(100, 20_000)), ("busy-alone", paced_load(1, 1_000))):
        busy = ", beside a thread that computes all the time"
        yield shape(name, load, answering("--busy"), busy, measure=_without_cpu_time, compared=("p50_us", "p99_us"))


def _without_cpu_time(*arguments):
    """Where it would be that of another thread too."""
    figures = harness.measure(*arguments)
    return {name: value for name, value in figures.items() if name not in ("cpu_us", "user_us", "per_cpu_second", "busy")}


def _tables(programs):
    def program(name, *arguments):
        return (str(programs.build / "benchmarks" / name), *arguments)

    yield Table(
        "micro",
        "What the building blocks cost, beside Asio's",
        program("micro"),
        unit="ns",
        times_the_rounds=3,
        options=("--share", "0.3"),
        quick_options=("--share", "0.02"),
        columns=("chainring", "Asio"),
    )
    yield Table(
        "send-paths",
        "The ways to hand a batch of messages to the kernel: CPU time of the sender for a message",
        program("send_paths", "--rounds", "1"),
        unit="ns",
        skipped_when_quick=True,
        columns=("gathered", "chain"),
    )
    yield Table("wake-ups", "How one ring's thread wakes another", program("wake_ups"), unit="ns", skipped_when_quick=True)
    yield Table(
        "counted",
        "What a message costs, both ends of it together, counted on the simulated kernel: it is the same in every run",
        program("guard"),
        unit="for a message",
        rounds=1,
    )
    yield Table(
        "sleepers",
        "A million tasks asleep, which wake up within one second beside an echo connection",
        program("sleepers"),
        unit="MiB and us",
        rounds=1,
    )


def _free_port():
    """A port for a program that must know it before anybody listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
