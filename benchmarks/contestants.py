"""A contestant's process: how it is started, where it listens, and how it ends.

The server is pinned to core 0 and the client to core 1.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

SERVER_CORE = 0
CLIENT_CORE = 1
START_SECONDS = 10


class BenchmarkError(Exception):
    """Something the user can act on: a program that is missing, does not start or answers wrongly."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What a client does. It gets --connect, --seconds, --warmup and --json besides."""

    text: str
    client: str  # the program, in the build directory
    options: tuple[str, ...]
    size: int  # bytes of a message


@dataclasses.dataclass(frozen=True)
class Contestant:
    name: str
    command: tuple[str, ...]  # --listen is added
    listen: str = "127.0.0.1:0"
    cores: tuple[int, ...] = (SERVER_CORE,)
    client_cores: tuple[int, ...] = (CLIENT_CORE,)
    load: Load | None = None  # another one than its shape's
    runs: str | None = None  # the program that is needed, where the command is a script that starts it


def is_built(contestant):
    return shutil.which(contestant.runs or contestant.command[0]) is not None


class _Server:
    def __init__(self, contestant, process, errors):
        self.name = contestant.name
        self.client_cores = contestant.client_cores
        self.process = process
        self._errors = errors
        self.address = None
        self.counters = {}
        self._lines = b""

    def wait_until_listening(self):
        # Read without a buffered layer, which would hide lines from poll.
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + START_SECONDS
        while b"listening on " not in self._lines or not self._lines.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(descriptor, 4096) if ready else b""
            if not chunk:
                raise BenchmarkError(f"{self.name} does not listen: {self._complaint() if ready else 'timed out'}")
            self._lines += chunk
        self.address = self._lines.split(b"listening on ")[1].split()[0].decode()

    def stop(self):
        """Ends the server the polite way and reads its counters."""
        self.process.send_signal(signal.SIGTERM)
        try:
            output, _ = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.name} did not end within 10 s of SIGTERM") from None
        if self.process.returncode not in (0, -signal.SIGTERM):  # a program without a handler dies of it
            raise BenchmarkError(f"{self.name} ended with {self.process.returncode} after SIGTERM")
        self.counters = {key: int(value) for key, value in re.findall(r"\b(\w+)=(\d+)\b", output.decode())}

    def _complaint(self):
        self.process.wait(timeout=10)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return last[0] if last else f"it ended with {self.process.returncode}"


@contextlib.contextmanager
def serving(contestant):
    if not is_built(contestant):
        raise BenchmarkError(f"{contestant.command[0]} is missing: build it first")
    # A file, not a pipe: nobody reads what the server logs while it is measured.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*contestant.command, "--listen", contestant.listen],
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=lambda: settle(contestant.cores),
        )
        try:
            server = _Server(contestant, process, errors)
            server.wait_until_listening()
            yield server
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()


def may_pin():
    return {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0)


def settle(cores):
    """In the child: its cores, and precedence over whatever else the machine does, where that is allowed.

    A session of its own matters where the scheduler shares the CPU among sessions first (autogroup): there a nice
    value counts only inside the session.
    """
    os.setsid()
    if may_pin():
        os.sched_setaffinity(0, cores)
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/autogroup").write_text("-20")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
