"""How long slow connections wait beside a fast one.

A hundred send a small message now and then, and one sends as much as the server takes.

    python3 benchmarks/fairness.py --build build --rounds 5

Each round has the slow ones alone and the slow ones beside the fast one, for each server. The figure is the worst p99 that
one of the slow ones has, in microseconds, and its ratio to what it is without the fast one. `answers` answers a message of
64 KiB with 64 bytes; the echo servers send it all back.
"""

import argparse
import pathlib
import sys

import harness
from machine import environment
from report import print_table, spread

GOAL = 3.0  # the ratio


def contestants(build):
    build = pathlib.Path(build)
    answers = str(build / "benchmarks/answers")
    servers = [harness.Contestant(f"answers, {mode}", (answers, "--mode", mode)) for mode in ("throughput", "latency")]
    return servers + list(harness.contestants(build).values())


def load(slow, interval, fast):
    options = ("--slow", str(slow), "--interval", str(interval), "--fast", str(fast))
    beside = f", a fast one with messages of {fast} B" if fast else ""
    return harness.Load(f"{slow} slow connections, a message of 64 B each {interval:g} ms{beside}", 64, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--slow", type=int, default=100, help="slow connections (default: 100)")
    parser.add_argument("--interval", type=float, default=5, help="milliseconds between messages of one (default: 5)")
    parser.add_argument("--fast", type=int, default=65536, help="bytes of the fast one's messages (default: 65536)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="measured time of each run (default: 3)")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--only", action="append", metavar="NAME", help="contestants whose name contains this; repeatable")
    options = parser.parse_args()

    client = harness.client_program(options.build, "benchmarks/fairness_load")
    wanted = options.only or [""]
    servers = [
        server
        for server in contestants(options.build)
        if any(part in server.name for part in wanted) and harness.is_built(server)
    ]
    loads = {fast: load(options.slow, options.interval, fast) for fast in (0, options.fast)}
    for line in environment(options.build):
        print(line)
    print(f"{loads[options.fast]}; {options.rounds} rounds of {options.seconds:g} s each, interleaved\n", flush=True)

    runs = {server.name: {fast: [] for fast in loads} for server in servers}
    for number in range(1, options.rounds + 1):
        for server in servers:
            for fast, each in loads.items():
                harness.show_progress(f"round {number}/{options.rounds}: {server.name}")
                figures = harness.measure(server, each, client, options.seconds, options.warmup)
                runs[server.name][fast].append(figures)
    harness.show_progress("")

    rows = []
    for name, figures in runs.items():
        alone, beside = figures[0], figures[options.fast]
        ratios = harness.paired(beside, alone, "p99_us", lambda theirs, own: theirs / own)
        rows.append(
            [
                name,
                *(spread(harness.values(each, "p50_us"), 0) for each in (alone, beside)),
                *(spread(harness.values(each, "p99_us"), 0) for each in (alone, beside)),
                spread(ratios, 2),
                spread([100 * busy for busy in harness.values(beside, "busy")], 0),
            ]
        )
    print_table(
        ["median (range)", "p50 us alone", "beside it", "worst p99 us alone", "beside it", "ratio", "server busy %"], rows
    )
    print(f"\nwanted of chainring: a ratio of at most {GOAL:g}")


if __name__ == "__main__":
    try:
        main()
    except harness.BenchmarkError as failure:
        sys.exit(f"fairness: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
