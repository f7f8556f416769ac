#!/usr/bin/env python3
"""Builds and tests the configurations, then checks format, clang-tidy and the project as a whole.

A step that fails is counted and the next ones are carried out all the same. Called by scripts/test.

What is compiled is tested while the next is compiled: tests wait for the network, for time and for each other, and leave
processors to the compilers, which are nice to them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from compiler_environment import compiler_environment
from repeatable import Repeatable
from test_results import Tally, catch2_reports, count_catch2, count_tests
from tidy import tidy

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATIONS = ("build", "build-debug", "build-clang")
STEPS = ("build", "project", "build-debug", "build-clang", "format", "tidy")
JOBS = os.cpu_count() or 2


def run(*command: str, **options) -> subprocess.CompletedProcess:
    """Runs a command from the root with its output, both streams together, kept as text."""
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )


def say(text: str) -> None:
    print(text, flush=True)


class Timer:
    def __init__(self) -> None:
        self.start = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self.start:.1f} s"


def show_failure(what: str, output: str, log: Path | None = None) -> None:
    lines = output.splitlines()
    first = f"--- {what}" + (f" (its end; all of it: {log.relative_to(ROOT)})" if log and len(lines) > 150 else "")
    say("\n".join([first, *(lines[-150:] if log else lines), f"--- end of {what}"]))


def compile_configuration(name: str) -> Tally:
    build = ROOT / name
    timer = Timer()
    configured = run("scripts/configure", "--werror", name)
    if configured.returncode != 0:
        show_failure(f"configuring {name}", configured.stdout)
        return Tally(failures=[f"{name}: does not configure"])

    compiled = run("nice", "ninja", "-C", name, "-j", str(JOBS), "-k", "0", env=compiler_environment())
    log = build / "meson-logs" / "compile.txt"
    log.write_text(compiled.stdout)
    if compiled.returncode != 0:
        # ninja may have called meson first, which has nothing to say about the failure unless it is its own.
        output = compiled.stdout.rpartition("\nFound ninja-")[2]
        messages = [line for line in output.splitlines() if not line.startswith(("[", "ninja: "))]
        show_failure(f"compiling {name}", "\n".join(messages), log)
        return Tally(failures=[f"{name}: does not compile"])
    say(f"{name}: compiled in {timer}")
    return Tally()


def test_configuration(name: str) -> Tally:
    build = ROOT / name
    timer = Timer()
    reports = catch2_reports(build)
    runs = Repeatable(build, reports)
    for run_name, report in reports.items():
        if run_name not in runs.known:
            report.unlink()
    ran = run("meson", "test", "-C", name, "--no-rebuild", "--num-processes", str(JOBS), *runs.to_run)
    (build / "meson-logs" / "test-run.txt").write_text(ran.stdout)
    if not (build / "meson-logs" / "testlog.json").is_file():
        show_failure(f"testing {name}", ran.stdout)
        return Tally(failures=[f"{name}: no test was run"])
    tally, passed = count_tests(build)
    runs.keep(passed)
    if ran.returncode != 0 and not tally.failures:
        show_failure(f"testing {name}", ran.stdout)
        tally.failures.append(f"{name}: meson test ended with {ran.returncode}")
    known = Tally()
    for run_name in runs.known:
        known.add(count_catch2(reports[run_name], f"{name}: {run_name}"))
    tally.add(known)
    again = f", {known.passed} of them before, in simulated runs of the same programs" if runs.known else ""
    say(f"{name}: {tally.passed} passed{again}, {len(tally.failures)} failed, {tally.skipped} skipped in {timer}")
    return tally


def format_check() -> Tally:
    timer = Timer()
    checked = run("scripts/format", "--check")
    if checked.returncode != 0:
        show_failure("scripts/format --check", checked.stdout)
    say(f"format: {'passed' if checked.returncode == 0 else 'FAILED (scripts/format mends it)'} in {timer}")
    return Tally(passed=1) if checked.returncode == 0 else Tally(failures=["format"])


def tidy_check() -> Tally:
    timer = Timer()
    configured = run("scripts/configure", "--werror", "build-clang", "build")
    if configured.returncode != 0:
        show_failure("configuring for clang-tidy", configured.stdout)
        return Tally(failures=["tidy: build-clang or build does not configure"])
    sources, checked, findings = tidy([ROOT / "build-clang", ROOT / "build"], JOBS)
    for source, found in findings.items():
        show_failure(f"clang-tidy on {source}", found)
    say(f"tidy: {sources} sources, {checked} of them new or changed, {len(findings)} with findings in {timer}")
    return Tally(passed=0 if findings else 1, failures=[f"tidy: {source}" for source in findings])


def project_tests() -> Tally:
    """Every executable file of tests/project is a test: it gets the release build directory and exits with 0."""
    paths = sorted((ROOT / "tests" / "project").iterdir())
    programs = [path for path in paths if path.is_file() and os.access(path, os.X_OK)]

    def carried_out(path: Path) -> tuple[Path, subprocess.CompletedProcess, str]:
        timer = Timer()
        return path, run(str(path), "build"), str(timer)

    tally = Tally()
    # Two more than there are processors: some of them watch others do nothing.
    with ThreadPoolExecutor(JOBS + 2) as some_at_a_time:
        all_done = list(some_at_a_time.map(carried_out, programs))
    for path, done, timer in all_done:
        if done.returncode == 0:
            tally.passed += 1
        else:
            show_failure(f"project test {path.name}", done.stdout)
            tally.failures.append(f"project: {path.name}")
        say(f"project: {path.name} {'passed' if done.returncode == 0 else 'FAILED'} in {timer}")
    return tally


def outcome_of(name: str, part: Callable[[], Tally]) -> Tally:
    try:
        return part()
    except Exception as error:  # pylint: disable=broad-except
        # A bug of this script or a missing program must cost one step, not the closing line.
        say(f"{name}: {type(error).__name__}: {error}")
        return Tally(failures=[f"{name}: {error}"])


def carry_out(steps: Sequence[str]) -> Tally:
    total = Tally()
    # Its tests are run one after the other.
    with ThreadPoolExecutor(1) as tester:
        tests = []
        for step in steps:
            if step in CONFIGURATIONS:
                compiled = outcome_of(step, partial(compile_configuration, step))
                total.add(compiled)
                if not compiled.failures:
                    tests.append(tester.submit(outcome_of, step, partial(test_configuration, step)))
            elif step == "project":
                tests.append(tester.submit(outcome_of, step, project_tests))
            else:
                total.add(outcome_of(step, {"format": format_check, "tidy": tidy_check}[step]))
        for test in tests:
            total.add(test.result())
    return total


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="step", help=f"any of {', '.join(STEPS)}; all without one")
    parser.add_argument("--setup-status", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.steps) - set(STEPS)
    if unknown:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")

    timer = Timer()
    total = Tally()
    if options.setup_status != 0:
        total.failures.append("setup: something that scripts/setup installs is missing")
    total.add(carry_out(options.steps or STEPS))

    say(f"all in {timer}" + (f"; {total.skipped} skipped" if total.skipped else ""))
    for failure in total.failures:
        say(f"FAILED {failure}")
    say(f"{total.passed} passed, {len(total.failures)} failed")
    return 1 if total.failures or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
