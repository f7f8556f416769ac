"""Which runs of tests would only repeat themselves.

A run on the simulated kernel is a function of its program: the same program comes to the same end. So where one of the suite
"simulated" has passed, it is not carried out again as long as its program, the libraries that it is linked with, its arguments
and what the environment says to chainring are what they were. The build directory remembers it, so a fresh clone carries all of them out.
"""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

SUITE = "simulated"


def programs_of(build: Path) -> dict[str, dict]:
    """What meson knows of each run: its command, environment and suites, by its name."""
    known = subprocess.run(
        ["meson", "introspect", "--tests", str(build)], check=True, stdout=subprocess.PIPE, text=True
    )
    return {test["name"]: test for test in json.loads(known.stdout)}


def state_of(test: dict) -> str:
    program = test["cmd"][0]
    linked = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = {name: value for name, value in os.environ.items() if name.startswith("CHAINRING_")}
    digest = hashlib.sha256(json.dumps([test["cmd"], sorted(test["env"].items()), sorted(ours.items())]).encode())
    for path in (program, *sorted(re.findall(r"(/\S+) \(0x", linked))):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


class Repeatable:
    """The runs of a build directory whose end is known, from the report of the last time, and those that are to be carried out."""

    def __init__(self, build: Path, reports: dict[str, Path]) -> None:
        self._passed = build / "meson-private" / "passed"
        self._states = {}
        self.known, self.to_run = [], []
        for name, test in programs_of(build).items():
            if any(suite.split(":")[-1] == SUITE for suite in test["suite"]):
                self._states[name] = state_of(test)
            (self.known if name in reports and self._has_passed(name) else self.to_run).append(name)

    def _has_passed(self, name: str) -> bool:
        kept = self._passed / name
        return name in self._states and kept.is_file() and kept.read_text() == self._states[name]

    def keep(self, passed: set[str]) -> None:
        """Those that were carried out and are not in `passed` have not passed."""
        self._passed.mkdir(exist_ok=True)
        for name in self.to_run:
            (self._passed / name).unlink(missing_ok=True)
            if name in passed and name in self._states:
                (self._passed / name).write_text(self._states[name])
