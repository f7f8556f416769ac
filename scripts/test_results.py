"""Counts what a run of `meson test` did: Catch2's test cases from its XML, other tests as one each."""

import html
import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.passed += other.passed
        self.skipped += other.skipped
        self.failures += other.failures


def catch2_reports(build: Path) -> dict[str, Path]:
    """The XML of each Catch2 program, by the test's name, wherever a meson.build of the project put it."""
    reports = {}
    for report in build.glob("*/*.xml"):
        if b"<Catch2TestRun" in report.read_bytes()[:300]:
            reports[report.stem] = report
    return reports


def count_catch2(report: Path, label: str) -> Tally:
    """A program that crashed leaves its XML unfinished: the case that it was in has no result."""
    tally = Tally()
    text = report.read_text(errors="replace")
    for case in re.split(r"^  (?=<TestCase )", text, flags=re.MULTILINE)[1:]:
        name = html.unescape(re.match(r'<TestCase name="([^"]*)"', case)[1])
        result = re.search(r'^    <OverallResult success="(true|false)" skips="(\d+)"', case, flags=re.MULTILINE)
        if result is None:
            tally.failures.append(f"{label}: {name} (ended the program)")
        elif result[1] == "false":
            tally.failures.append(f"{label}: {name}")
        elif result[2] != "0":
            tally.skipped += 1
        else:
            tally.passed += 1
    return tally


def count_tests(build: Path) -> tuple[Tally, set[str]]:
    """Of all together, and the names of those that have passed without a failure."""
    tally = Tally()
    succeeded_ones = set()
    reports = catch2_reports(build)
    for line in (build / "meson-logs" / "testlog.json").read_text().splitlines():
        test = json.loads(line)
        name = test["name"].rpartition(" / ")[2]  # behind its suite
        succeeded = test["result"] in ("OK", "EXPECTEDFAIL")
        label = f"{build.name}: {name}"
        if name in reports:
            of_test = count_catch2(reports[name], label)
            # A sanitizer that speaks up at exit, a timeout between two cases, a program without a case.
            if not of_test.failures and (not succeeded or of_test.passed + of_test.skipped == 0):
                of_test.failures.append(f"{label}: {test['result']} without a failed test case")
            tally.add(of_test)
            if not of_test.failures:
                succeeded_ones.add(name)
        elif succeeded:
            tally.passed += 1
        elif test["result"] == "SKIP":
            tally.skipped += 1
        else:
            tally.failures.append(f"{label}: {test['result']}")
        for line in test.get("stdout", "").splitlines():
            if line.startswith("measured: "):
                print(f"{label}: {line.removeprefix('measured: ')}", flush=True)
        if not succeeded and test["result"] != "SKIP":
            print_output(label, test)
    return tally, succeeded_ones


def print_output(label: str, test: dict) -> None:
    lines = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
    print(f"--- output of {label}" + (" (its end)" if len(lines) > 200 else ""))
    print("\n".join(lines[-200:]))
    print(f"--- end of {label}", flush=True)
