"""Datagrams per CPU second of samples/udp_sink beside Asio's receive of one datagram at a time, interleaved in one run.

    python3 benchmarks/udp_ratio.py --build build --rounds 5

The sender has a core of its own and sends as fast as it can; what a sink had no room for the kernel counts, and every
datagram must have been received or counted so. asio_udp_sink runs twice in every round: how far it is from itself is the noise.
"""

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys

import harness
from machine import environment
from report import print_table, spread

GRACE_SECONDS = 20
SETTLE_SECONDS = 0.2


def sinks(build, gso):
    sink, asio = (str(pathlib.Path(build) / path) for path in ("samples/udp_sink", "benchmarks/asio_udp_sink"))
    found = {"asio": (asio,), "asio again": (asio,), "udp_sink": (sink,)}
    return {**found, "udp_sink --gro": (sink, "--gro")} if gso else found


def settle(core):
    harness._settle(core)  # pylint: disable=protected-access


def figures(line):
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


def measure(command, load, seconds):
    """Datagrams per CPU second of the sink, and the share of those sent that found no room."""
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: settle(harness.SERVER_CORE),
    )
    try:
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise harness.BenchmarkError(f"{command[0]} does not listen: {line!r}")
        client = subprocess.run(
            [*load, "--connect", line.split()[-1], "--seconds", str(seconds)],
            capture_output=True,
            text=True,
            timeout=seconds + GRACE_SECONDS,
            check=False,
            preexec_fn=lambda: settle(harness.CLIENT_CORE),
        )
        if client.returncode != 0:
            raise harness.BenchmarkError(f"the sender failed: {client.stderr.strip()}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SETTLE_SECONDS)  # for what is still in the socket
        process.terminate()
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        process.stdout.close()
    sent, got = figures(client.stdout), figures(output)
    if process.returncode != 0 or "datagrams" not in got:
        raise harness.BenchmarkError(f"{command[0]} ended with {process.returncode}: {output!r}")
    # Where one receive joins several, the kernel may count what it drops as one.
    missing = sent["sent"] - got["datagrams"]
    unreported = missing != 0 and got["drops"] == 0
    if missing < 0 or unreported or ("--gso" not in load and missing != got["drops"]):
        raise harness.BenchmarkError(f"{command[0]}: {sent['sent']} sent, {got}")
    return got["datagrams"] / (used.ru_utime + used.ru_stime), missing / sent["sent"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="the build directory (default: build)")
    parser.add_argument("--size", type=int, default=1200, help="bytes of a datagram (default: 1200)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each run (default: 2)")
    options = parser.parse_args()

    for line in environment(options.build):
        print(line)
    print(f"datagrams of {options.size} bytes; {options.rounds} rounds of {options.seconds:g} s each, interleaved\n", flush=True)
    for gso in (False, True):
        load = [str(pathlib.Path(options.build) / "benchmarks/udp_load"), "--size", str(options.size), *["--gso"] * gso]
        runs = {name: [] for name in sinks(options.build, gso)}
        for number in range(1, options.rounds + 1):
            for name, command in sinks(options.build, gso).items():
                harness.show_progress(f"round {number}/{options.rounds}: {name}")
                runs[name].append(measure(command, load, options.seconds))
        harness.show_progress("")
        rows = []
        for name, measured in runs.items():
            ratios = [ours[0] / theirs[0] for ours, theirs in zip(measured, runs["asio"])]
            thousands = [rate / 1000 for rate, _ in measured]
            rows.append([name, spread(ratios, 2), spread(thousands, 0), spread([100 * lost for _, lost in measured], 1)])
        title = "from a sender with GSO" if gso else "from a sender of single datagrams"
        print_table([title, "datagrams per CPU second, ratio", "thousands of them", "% dropped"], rows)
        print(flush=True)


if __name__ == "__main__":
    try:
        main()
    except harness.BenchmarkError as failure:
        sys.exit(f"udp_ratio: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
