"""What another loop around the executor costs: the samples that embed it beside samples/echo, interleaved in one run.

    python3 benchmarks/embed_ratio.py --build build --rounds 5

Messages per CPU second of the server, as ratios to echo in the same mode, round by round; and turns of the executor for each
time that the loop woke it, as the samples count them. echo runs twice in every round: how far it is from itself is the noise.
"""

import argparse
import pathlib
import sys

import harness
from machine import environment
from report import print_table, spread

HOSTS = ("embed_epoll", "embed_asio", "embed_libuv", "embed_glib")
MODES = ("throughput", "latency")


def contestants(build, mode):
    programs = {"echo": "echo", "echo again": "echo", **{name: name for name in HOSTS}}
    samples = pathlib.Path(build) / "samples"
    return [
        harness.Contestant(f"{name}, {mode}", (str(samples / program), "--mode", mode)) for name, program in programs.items()
    ]


def print_ratios(runs, baseline):
    rows = []
    for name, figures in runs.items():
        ratios = harness.paired(figures, runs[baseline], "cpu_us", lambda ours, theirs: theirs / ours)
        cpu = spread(harness.values(figures, "cpu_us"), 2)
        rows.append([name, spread(ratios, 3), cpu, spread(harness.values(figures, "turns_per_wake_up"), 2)])
    print_table([f"against {baseline}", "messages per CPU second, ratio", "CPU us per message", "turns per wake-up"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="bytes per message (default: 64)")
    parser.add_argument("--depth", type=int, default=1, help="messages in flight per connection (default: 1)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="measured time of each run (default: 2)")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--mode", action="append", choices=MODES, help="repeatable; both without one")
    options = parser.parse_args()

    shape = harness.Shape(options.connections, options.size, options.depth)
    client = harness.client_program(options.build)
    for line in environment(options.build):
        print(line)
    print(f"echo, {shape}; {options.rounds} rounds of {options.seconds:g} s each, interleaved\n", flush=True)
    for mode in options.mode or MODES:
        servers = [server for server in contestants(options.build, mode) if harness.is_built(server)]
        runs = harness.compare(
            servers, shape, client, options.rounds, options.seconds, options.warmup, harness.show_progress
        )
        print_ratios(runs, servers[0].name)
        print(flush=True)


if __name__ == "__main__":
    try:
        main()
    except harness.BenchmarkError as failure:
        sys.exit(f"embed_ratio: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
