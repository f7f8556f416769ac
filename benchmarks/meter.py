"""The CPU time and the memory of a process that runs."""

import dataclasses
import pathlib
import time

from contestants import BenchmarkError
from mode_sampler import ModeSampler


@dataclasses.dataclass
class Window:
    """What the server used while the client measured."""

    cpu_ns: int
    wall_ns: int
    user_share: float | None


class Meter:
    """The CPU time of a process over a window of time."""

    def __init__(self, pid):
        self._pid = pid
        try:
            self._sampler = ModeSampler(pid)
        except OSError:
            self._sampler = None
        self._wall = time.monotonic_ns()
        self._cpu, self._ticks = cpu_time(pid)

    def stop(self):
        cpu, ticks = cpu_time(self._pid)
        wall = time.monotonic_ns()
        user, system = self._sampler.stop() if self._sampler else (now - then for now, then in zip(ticks, self._ticks))
        share = user / (user + system) if user + system else None
        return Window(cpu - self._cpu, wall - self._wall, share)


def cpu_time(pid):
    """(nanoseconds of all threads, (user ticks, system ticks))."""
    try:
        # Reading stat first makes the kernel bring the running threads' schedstat up to date.
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
        total = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    except FileNotFoundError:
        raise BenchmarkError(f"the server (pid {pid}) is gone: it crashed, or /proc/PID/schedstat is not there") from None
    return total, (int(stat[11]), int(stat[12]))


def status_kib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0
