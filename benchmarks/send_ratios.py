"""The send queue's comparisons: chainring beside its peers where the queue shows, with goals and verdicts.

    python3 benchmarks/send_ratios.py --build build --rounds 5 [--only pipelined ...]

One of the peers runs twice in every round. How far it is from itself is the noise floor: claim nothing inside it.
"""

import argparse
import dataclasses
import os
import pathlib
import socket
import statistics
import sys

import harness
from machine import environment
from report import print_figures, print_table, spread

OURS = "chainring"


@dataclasses.dataclass(frozen=True)
class Goal:
    """What chainring's figure is to be, as a multiple of a peer's."""

    figure: str
    peer: str
    least: float | None = None
    most: float | None = None

    def met(self, ratio):
        return ratio >= self.least if self.least is not None else ratio <= self.most

    def __str__(self):
        return f">= {self.least:.2f}" if self.least is not None else f"<= {self.most:.2f}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    name: str
    unit: str  # of what is counted
    short_unit: str
    load: harness.Shape | harness.Load
    client: str
    contestants: tuple[harness.Contestant, ...]  # chainring's, then its peers'
    goals: tuple[Goal, ...]
    twice: str  # the contestant that shows the noise floor
    seconds: float | None = None  # where not time but a count ends the window: what it may take at most


def throughput(peer, least):
    return Goal("messages_per_second", peer, least=least)


def comparisons(build, options):
    build = pathlib.Path(build)
    benchmarks = build / "benchmarks"

    def contestant(name, program, *arguments, listen="127.0.0.1:0"):
        return harness.Contestant(name, (str(program), *arguments), listen)

    yield Comparison(
        name="pipelined",
        unit="messages",
        short_unit="msg",
        load=harness.Shape(connections=64, size=64, depth=16),
        client="samples/echo_load",
        contestants=(
            contestant(OURS, benchmarks / "replies"),
            contestant("uring_loop", benchmarks / "uring_loop"),
            contestant("asio", benchmarks / "asio_replies"),
        ),
        goals=(
            throughput("asio", 10),
            throughput("uring_loop", 0.90),
            Goal("cpu_us", "uring_loop", most=1.10),
        ),
        twice="uring_loop",
    )

    records = f"unix:@records-{os.getpid()}"
    yield Comparison(
        name="seqpacket",
        unit="records",
        short_unit="record",
        load=harness.Load("64 connections, bursts of 16 records x 256 B", 256, ("--connections", "64")),
        client="benchmarks/records_load",
        contestants=(
            contestant(OURS, benchmarks / "records", listen=records),
            contestant("asio", benchmarks / "asio_records", listen=records),
        ),
        goals=(throughput("asio", 1.10),),
        twice="asio",
    )

    yield Comparison(
        name="fan-out",
        unit="deliveries",
        short_unit="delivery",
        load=harness.Load(
            f"1 publisher, 1000 subscribers, 256 B, {options.in_flight} in flight",
            256,
            ("--connections", "1000", "--depth", str(options.in_flight)),
        ),
        client="benchmarks/fan_out_load",
        contestants=(
            contestant(OURS, benchmarks / "fan_out"),
            contestant("asio", benchmarks / "asio_fan_out"),
            contestant("asio gathering", benchmarks / "asio_fan_out", "--gather"),
        ),
        goals=(throughput("asio", 1.20),),
        twice="asio",
    )

    sink = f"127.0.0.1:{free_port()}"
    example = ()
    if options.liburing_proxy:
        wrapper = pathlib.Path(__file__).parent / "peers" / "liburing_example.py"
        example = (contestant("liburing example", sys.executable, wrapper, options.liburing_proxy, "--connect", sink),)
    yield Comparison(
        name="proxy",
        unit="blocks",
        short_unit="block",
        load=harness.Load("16 streams in blocks of 64 KiB", 65536, ("--connections", "16", "--sink", sink)),
        client="benchmarks/proxy_load",
        contestants=(
            contestant(OURS, build / "samples/proxy", "--connect", sink),
            contestant("uring_proxy", benchmarks / "uring_proxy", "--connect", sink),
            contestant("asio", benchmarks / "asio_proxy", "--connect", sink),
            *example,
        ),
        goals=(
            throughput("asio", 1.0),
            throughput("uring_proxy", 0.95),
            *(throughput(each.name, 0.95) for each in example),
        ),
        twice="uring_proxy",
    )

    yield Comparison(
        name="churn",
        unit="connections",
        short_unit="connection",
        load=harness.Load(
            f"connect, exchange 64 B, close; 16 at a time, {options.exchanges} in all",
            64,
            ("--connections", "16", "--exchanges", str(options.exchanges)),
        ),
        client="benchmarks/churn_load",
        contestants=(
            contestant(OURS, build / "samples/echo"),
            contestant("uring_loop", benchmarks / "uring_loop"),
            contestant("asio", benchmarks / "asio_epoll"),
        ),
        goals=(throughput("asio", 1.10),),
        twice="asio",
        seconds=max(options.seconds, options.exchanges / 2000),
    )


def free_port():
    """A port for a program that must know it before anybody listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ratios(runs, figure, name, peer):
    return harness.paired(runs[name], runs[peer], figure, lambda ours, theirs: ours / theirs)


def print_ratios(comparison, runs):
    """Of the contestant that ran twice to itself, and of chainring to each peer, in every round."""
    pairs = [(comparison.twice + " again", comparison.twice)]
    pairs += [(OURS, peer.name) for peer in comparison.contestants[1:] if peer.name in runs]
    rows = []
    for name, peer in pairs:
        by_round = ratios(runs, "messages_per_second", name, peer)
        rows.append(
            [
                f"{name} / {peer}",
                spread(by_round, 3),
                spread(ratios(runs, "cpu_us", name, peer), 3),
                " ".join(f"{ratio:.2f}" for ratio in by_round),
            ]
        )
    print()
    counted = f"{comparison.unit}/s"
    print_table(["median (range) of the ratios", counted, "CPU each", f"{counted} by round"], rows)


def print_verdicts(comparison, runs):
    print()
    for goal in comparison.goals:
        if goal.peer not in runs:
            print(f"not known: {goal.figure} {goal} x {goal.peer}, which was not built")
            continue
        ratio = statistics.median(ratios(runs, goal.figure, OURS, goal.peer))
        what = f"{comparison.unit}/s" if goal.figure == "messages_per_second" else f"CPU per {comparison.short_unit}"
        line = f"{'met' if goal.met(ratio) else 'MISSED'}: {what} {goal} x {goal.peer}: {ratio:.2f}"
        waiting = [name for name in (OURS, goal.peer) if harness.median(runs[name], "busy") < harness.BUSY_ENOUGH]
        if waiting and goal.figure == "messages_per_second":
            # What the server could do on a core of its own, had the client kept it busy.
            able = 1 / statistics.median(ratios(runs, "cpu_us", OURS, goal.peer))
            line += f", but {' and '.join(waiting)} waited for the client; by CPU time {able:.2f}: "
            line += "met" if goal.met(able) else "MISSED"
        print(line)


def run(comparison, options):
    built = [server for server in comparison.contestants if harness.is_built(server)]
    for server in comparison.contestants:
        if server not in built:
            print(f"left out, not built: {server.name} ({server.command[0]})")
    client = harness.client_program(options.build, comparison.client)
    if not built or built[0].name != OURS:
        raise harness.BenchmarkError(f"{comparison.contestants[0].command[0]} is missing: build it first")
    built += [
        dataclasses.replace(server, name=server.name + " again") for server in built if server.name == comparison.twice
    ]

    seconds = comparison.seconds or options.seconds
    print(f"== {comparison.name}: {comparison.load}\n", flush=True)
    runs = harness.compare(
        built, comparison.load, client, options.rounds, seconds, options.warmup, harness.show_progress
    )
    print_figures(runs, comparison.unit, comparison.short_unit)
    if len(built) > 1:
        print_ratios(comparison, runs)
    print_verdicts(comparison, runs)
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of pipelined, seqpacket, fan-out, proxy and churn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="measured time of each run (default: 2)")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--in-flight", type=int, default=8, help="messages under way in fan-out (default: 8)")
    parser.add_argument("--exchanges", type=int, default=100_000, help="connections in churn (default: 100000)")
    parser.add_argument("--liburing-proxy", metavar="PATH", help="liburing's examples/proxy, built, for the proxy comparison")
    options = parser.parse_args()

    known = {comparison.name: comparison for comparison in comparisons(options.build, options)}
    wanted = options.only or list(known)
    if unknown := set(wanted) - set(known):
        names = ", ".join(sorted(unknown))
        raise harness.BenchmarkError(f"no such comparison: {names}; there are {', '.join(known)}")

    for line in environment(options.build):
        print(line)
    print(f"{options.rounds} rounds of {options.seconds:g} s each, interleaved; every byte is checked\n", flush=True)
    for name in wanted:
        run(known[name], options)


if __name__ == "__main__":
    try:
        main()
    except harness.BenchmarkError as failure:
        sys.exit(f"send_ratios: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
