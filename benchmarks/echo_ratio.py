"""The echo comparison: chainring beside its peers, interleaved, as ratios to the hand-written loop and to Asio.

    python3 benchmarks/echo_ratio.py --build build --rounds 5

The hand-written loop runs twice in every round. How far it is from itself is the noise floor: claim nothing inside it.
"""

import argparse
import dataclasses
import statistics
import sys

import harness

BASELINES = ("uring_loop", "asio_epoll")


def spread(numbers, places):
    """Median and range of the rounds."""
    if not numbers:
        return None
    return f"{statistics.median(numbers):.{places}f} ({min(numbers):.{places}f}..{max(numbers):.{places}f})"


def print_figures(runs):
    rows = []
    for name, figures in runs.items():
        busy = harness.median(figures, "busy")
        rows.append(
            [
                name,
                spread(harness.values(figures, "messages_per_second"), 0),
                spread(harness.values(figures, "cpu_us"), 2),
                spread(harness.values(figures, "user_us"), 3),
                spread(harness.values(figures, "p50_us"), 0),
                spread(harness.values(figures, "p99_us"), 0),
                spread(harness.values(figures, "p999_us"), 0),
                spread(harness.values(figures, "system_calls"), 2),
                spread(harness.values(figures, "sqes_per_enter"), 1),
                f"{max(harness.values(figures, 'peak_kib')) / 1024:.1f}",
                f"{busy:.0%}" + ("" if busy >= harness.BUSY_ENOUGH else " *"),
            ]
        )
    header = ["median (range)", "messages/s", "CPU us/msg", "of it user", "p50 us", "p99 us", "p99.9 us"]
    harness.print_table(header + ["calls/msg", "SQEs/enter", "peak MiB", "busy"], rows)
    if any(harness.median(figures, "busy") < harness.BUSY_ENOUGH for figures in runs.values()):
        print(f"* below {harness.BUSY_ENOUGH:.0%} busy: quote CPU per message, not messages per second")
    late = sum(figure.late for figures in runs.values() for figure in figures)
    if late:
        print(f"! {late} runs were read late, the machine was too busy: their CPU per message is off")


def print_ratios(runs, baseline):
    rows = []
    for name, figures in runs.items():
        if name == baseline:
            continue
        cpu = harness.paired(figures, runs[baseline], "cpu_us", lambda ours, theirs: ours / theirs)
        user = harness.paired(figures, runs[baseline], "user_us", lambda ours, theirs: 1000 * (ours - theirs))
        rows.append([name, spread(cpu, 3), spread(user, 0)])
    print(f"\nagainst {baseline}, round by round:")
    harness.print_table(["median (range)", "CPU per message, ratio", "user-space ns per message, difference"], rows)


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

    for line in harness.environment(options.build):
        print(line)
    print(f"echo, {shape}; {options.rounds} rounds of {options.seconds:g} s each, interleaved\n", flush=True)

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)

    runs = harness.compare(servers, shape, client, options.rounds, options.seconds, options.warmup, progress)
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
