"""The loads and the contestants that several shapes have, made of programs of a build directory."""

import pathlib

from contestants import Contestant, Load


def _count_of(connections):
    return "1 connection" if connections == 1 else f"{connections} connections"


def echo_load(connections, size, depth=1):
    flow = "ping-pong" if depth == 1 else f"{depth} in flight on each"
    options = ("--connections", str(connections), "--size", str(size), "--depth", str(depth))
    return Load(f"{_count_of(connections)} x {size} B, {flow}", "samples/echo_load", options, size)


def paced_load(connections, rate, fast=0, *, datagrams=False):
    what = "datagrams" if datagrams else "messages"
    beside = f", beside one that sends {what} of {fast} B as fast as it can" if fast else ""
    options = ("--connections", str(connections), "--rate", str(rate), "--fast", str(fast))
    return Load(
        f"{_count_of(connections)}, {rate} messages/s of 64 B in all at fixed times{beside}",
        "benchmarks/paced_load",
        options + (("--datagrams",) if datagrams else ()),
        64,
    )


class Programs:
    """Contestants made of programs of a build directory."""

    def __init__(self, build):
        self.build = pathlib.Path(build)

    def sample(self, name, program, *arguments, **more):
        return Contestant(name, (str(self.build / "samples" / program), *arguments), **more)

    def benchmark(self, name, program, *arguments, **more):
        return Contestant(name, (str(self.build / "benchmarks" / program), *arguments), **more)

    def chainring_echo(self):
        return tuple(self.sample(f"chainring {mode}", "echo", "--mode", mode) for mode in ("throughput", "latency"))

    def echo_peers(self, *arguments, loop=(), shared=()):
        """`loop` are options of the loop on liburing alone, `shared` of those that have one buffer for all connections."""
        return (
            self.benchmark("liburing loop", "uring_loop", *arguments, *loop),
            self.benchmark("epoll loop", "epoll_loop", *arguments, *shared),
            self.benchmark("Asio coroutines", "asio_epoll", *arguments),
            self.benchmark("Asio on io_uring", "asio_uring", *arguments),
            self.benchmark("Asio callbacks", "asio_callbacks", *arguments),
            self.benchmark("libuv", "libuv_echo", *arguments, *shared),
            self.benchmark("Go", "go_echo", *arguments),
        )

    def echo(self):
        return self.chainring_echo() + self.echo_peers()
