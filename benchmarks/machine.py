"""What a measurement was made on, and what it was made with."""

import json
import os
import pathlib
import platform
import re
import subprocess

import redis_benchmark
from contestants import CLIENT_CORE, SERVER_CORE, may_pin
from mode_sampler import ModeSampler


def environment(build):
    """Lines that say what was measured on what."""
    commit = _output("git", "-C", pathlib.Path(__file__).parent, "describe", "--always", "--dirty")
    if commit:
        yield f"chainring {commit}"
    cores = len(os.sched_getaffinity(0))
    yield f"kernel {platform.release()}, {cores} cores, {_processor()}"
    versions = _versions(build)
    if versions:
        yield versions
    if not may_pin():
        yield f"not pinned: cores {SERVER_CORE} and {CLIENT_CORE} are not both available"
    yield "user share: " + _user_share_source()
    yield f"load average {os.getloadavg()[0]:.2f} at the start"


def _user_share_source():
    try:
        ModeSampler(os.getpid()).stop()
        return "sampled 4000 times a second (perf cpu-clock)"
    except OSError as failure:
        return f"sampled at the timer tick, coarse: look at many seconds of it ({failure})"


def _processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def compiler(build):
    """The one that a build directory was configured with, as "gcc 12.2.0"."""
    found = json.loads((pathlib.Path(build) / "meson-info/intro-compilers.json").read_text())["host"]["cpp"]
    return f"{found['id']} {found['version']}"


def _versions(build):
    try:
        compiled_by = compiler(build)
        options = json.loads((pathlib.Path(build) / "meson-info/intro-buildoptions.json").read_text())
        dependencies = json.loads((pathlib.Path(build) / "meson-info/intro-dependencies.json").read_text())
    except OSError:
        return None
    settings = {option["name"]: option["value"] for option in options}
    wanted = [f"{found['name']} {found['version']}" for found in dependencies if found["name"] in ("liburing", "boost", "libuv")]
    return ", ".join([f"{compiled_by} -O{settings.get('optimization')}", *wanted, *_redis_version()])


def _redis_version():
    program = redis_benchmark.real_server()
    said = _output("redis-server", "--version", executable=program) if program else None
    found = re.search(r"\bv=(\S+)", said or "")
    return [f"redis-server {found[1]}"] if found else []


def _output(*command, executable=None):
    """What a program says, or None where it is not there or fails."""
    try:
        ran = subprocess.run(command, executable=executable, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip()
