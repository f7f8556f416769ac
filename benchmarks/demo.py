"""Shows chainring's echo server beside a hand-written liburing loop and Boost.Asio, every reply checked.

One short run each: enough to see that it works and where the figures lie. benchmarks/run is the comparison.
"""

import argparse
import sys

import harness
from contestants import BenchmarkError, is_built
from machine import environment
from programs import Programs, echo_load
from report import print_table
from results import BUSY_ENOUGH

SHOWN = ("chainring throughput", "liburing loop", "Asio coroutines")
LOAD = echo_load(connections=64, size=64)


def number(value, places):
    return None if value is None else f"{value:,.{places}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--seconds", type=float, default=4, help="measured time of each server (default: 4)")
    options = parser.parse_args()

    servers = [server for server in Programs(options.build).echo() if server.name in SHOWN]
    if not is_built(servers[0]):
        raise BenchmarkError(f"{servers[0].command[0]} is missing: build the samples first")

    for line in environment(options.build):
        print(line)
    print(f"echo, {LOAD.text}, {options.seconds:g} s each\n", flush=True)

    rows = []
    idle = late = traced = False
    for server in servers:
        if not is_built(server):
            rows.append([server.name + " (not built)"] + [None] * 7)
            continue
        run = harness.measure(server, LOAD, options.build, options.seconds, warmup=0.5)
        calls = number(run.get("system_calls"), 2)
        if calls is None and (counted := harness.traced_system_calls(server, LOAD, options.build)) is not None:
            calls, traced = number(counted, 2) + " t", True
        idle = idle or run["busy"] < BUSY_ENOUGH
        mark = ("" if run["busy"] >= BUSY_ENOUGH else " *") + (" !" if "late" in run else "")
        late = late or "late" in run
        rows.append(
            [
                server.name,
                number(run["per_second"], 0) + mark,
                number(run["p50_us"], 0),
                number(run["p99_us"], 0),
                number(run["cpu_us"], 2),
                number(run.get("user_us"), 2),
                calls,
                number(run.get("sqes_per_enter"), 1),
            ]
        )
    header = ["", "messages/s", "p50 us", "p99 us", "CPU us/msg", "of it user", "calls/msg", "SQEs/enter"]
    print_table(header, rows)
    if traced:
        print("t counted in a run of its own, under strace; a server without a ring has no SQEs")
    if idle:
        print(f"* the server was below {BUSY_ENOUGH:.0%} busy: compare CPU per message instead")
    if late:
        print("! read late, the machine was too busy: the CPU figures are off")
    print("\nevery reply was compared with what was sent: all right")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as failure:
        sys.exit(f"demo: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
