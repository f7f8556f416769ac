"""The echo server on one executor and on two, interleaved: messages per second, and CPU time of all threads per message.

    python3 benchmarks/threads_ratio.py --build build --rounds 5

Where there are two cores, client and server share both: then messages per second say how much the two of them get done, and the CPU
time per message is what to look at. One executor runs twice in every round: how far it is from itself is the noise floor.
"""

import argparse
import sys

import harness
from machine import environment
from report import print_figures, print_table, spread


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="bytes per message (default: 64)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="measured time of each run (default: 2)")
    options = parser.parse_args()

    cores = (harness.SERVER_CORE, harness.CLIENT_CORE)
    echo = f"{options.build}/samples/echo"
    names = {"1 thread": 1, f"{options.threads} threads": options.threads, "1 thread again": 1}
    servers = [
        harness.Contestant(name, (echo, "--threads", str(threads)), cores=cores, client_cores=cores)
        for name, threads in names.items()
    ]
    client = harness.client_program(options.build)
    shape = harness.Shape(options.connections, options.size)

    for line in environment(options.build):
        print(line)
    print(f"echo, {shape}; {options.rounds} rounds of {options.seconds:g} s each, interleaved\n", flush=True)
    runs = harness.compare(servers, shape, client, options.rounds, options.seconds, progress=harness.show_progress)
    print_figures(runs)
    rows = []
    for name in list(names)[1:]:
        ratios = [
            harness.paired(runs[name], runs["1 thread"], figure, lambda ours, theirs: ours / theirs)
            for figure in ("messages_per_second", "cpu_us")
        ]
        rows.append([name, *(spread(ratio, 3) for ratio in ratios)])
    print("\nagainst one thread, round by round:")
    print_table(["median (range)", "messages/s, ratio", "CPU per message, ratio"], rows)


if __name__ == "__main__":
    try:
        main()
    except harness.BenchmarkError as failure:
        sys.exit(f"threads_ratio: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
