"""The echo comparison: chainring beside its peers, interleaved, as ratios to the hand-written loop and to Asio.

    python3 benchmarks/echo_ratio.py --build build --rounds 5

The hand-written loop runs twice in every round. How far it is from itself is the noise floor: claim nothing inside it.
"""

import argparse
import dataclasses
import sys

import harness
from machine import environment
from report import print_figures, print_table, spread

BASELINES = ("uring_loop", "asio_epoll")


def print_ratios(runs, baseline):
    rows = []
    for name, figures in runs.items():
        if name == baseline:
            continue
        cpu = harness.paired(figures, runs[baseline], "cpu_us", lambda ours, theirs: ours / theirs)
        user = harness.paired(figures, runs[baseline], "user_us", lambda ours, theirs: 1000 * (ours - theirs))
        rows.append([name, spread(cpu, 3), spread(user, 0)])
    print(f"\nagainst {baseline}, round by round:")
    print_table(["median (range)", "CPU per message, ratio", "user-space ns per message, difference"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--client", help="another client than BUILD/samples/echo_load")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="bytes per message (default: 64)")
    parser.add_argument("--depth", type=int, default=1, help="messages in flight per connection (default: 1)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="measured time of each run (default: 2)")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--only", action="append", metavar="NAME", help="contestants whose name contains this; repeatable")
    options = parser.parse_args()

    shape = harness.Shape(options.connections, options.size, options.depth)
    wanted = options.only or [""]
    servers = [
        server
        for server in harness.contestants(options.build).values()
        if any(part in server.name for part in wanted)
    ]
    for server in servers:
        if not harness.is_built(server):
            print(f"left out, not built: {server.name} ({server.command[0]})")
    servers = [server for server in servers if harness.is_built(server)]
    if not servers:
        raise harness.BenchmarkError(f"nothing to compare in {options.build}")
    for server in servers:
        if server.name == BASELINES[0]:
            servers.append(dataclasses.replace(server, name=server.name + " again"))
            break
    client = options.client or harness.client_program(options.build)

    for line in environment(options.build):
        print(line)
    print(f"echo, {shape}; {options.rounds} rounds of {options.seconds:g} s each, interleaved\n", flush=True)

    runs = harness.compare(servers, shape, client, options.rounds, options.seconds, options.warmup, harness.show_progress)
    print_figures(runs)
    for baseline in BASELINES:
        if baseline in runs and len(runs) > 1:
            print_ratios(runs, baseline)


if __name__ == "__main__":
    try:
        main()
    except harness.BenchmarkError as failure:
        sys.exit(f"echo_ratio: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
