"""Where a process spends its CPU time, user space or kernel, by sampling it some 4000 times a second.

The split in /proc/PID/stat is itself a sample, taken at the timer tick (250 times a second) unless the kernel was built
with CONFIG_VIRT_CPU_ACCOUNTING. That is too coarse for a server that spends one percent of its time in user space,
so this opens a perf software clock on the process, which needs no hardware counters.

A sample that falls into the end of a system call, where interrupts are off, is taken at the first instruction of user
space: each system call adds some tens of nanoseconds to the user's share, for every contestant alike.
"""

import ctypes
import mmap
import os
import platform
import struct

SYSTEM_CALL_NUMBERS = {"x86_64": 298, "aarch64": 241}
TYPE_SOFTWARE = 1
COUNT_SW_CPU_CLOCK = 0
FLAG_CLOSE_ON_EXEC = 8
# Not a divisor of the tick's period, so that the samples do not march in step with the kernel's own timer.
PERIOD_NANOSECONDS = 247_000
ATTRIBUTE_SIZE = 112
RECORD_HEADER = struct.Struct("<IHH")
RECORD_SAMPLE = 9
MODE_MASK = 7
MODE_KERNEL = 1
MODE_USER = 2
# In the first page of the mapping.
DATA_HEAD_OFFSET = 1024
# 1 MiB of 8-byte records is half a minute of samples; what comes after that is not recorded.
DATA_PAGES = 256


class ModeSampler:
    """Counts samples of a process's threads in user and in kernel mode, from construction to `stop`.

    Threads that start later are not seen. Raises OSError where the kernel or its perf_event_paranoid setting does not
    allow it.
    """

    def __init__(self, pid):
        self._threads = []
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                self._threads.append(_ThreadSamples(int(thread)))
        except OSError:
            self.stop()
            raise

    def stop(self):
        """Returns (samples in user mode, samples in kernel mode)."""
        user = kernel = 0
        for thread in self._threads:
            modes = thread.close()
            user += modes.count(MODE_USER)
            kernel += modes.count(MODE_KERNEL)
        self._threads = []
        return user, kernel


class _ThreadSamples:
    def __init__(self, thread):
        number = SYSTEM_CALL_NUMBERS.get(platform.machine())
        if number is None:
            raise OSError("no perf_event_open number known for " + platform.machine())
        # perf_event_attr: type, size, config, sample_period, sample_type (nothing beyond the header), then zeros.
        attribute = struct.pack("<IIQQQ", TYPE_SOFTWARE, ATTRIBUTE_SIZE, COUNT_SW_CPU_CLOCK, PERIOD_NANOSECONDS, 0)
        attribute = ctypes.create_string_buffer(attribute, ATTRIBUTE_SIZE)
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.syscall(number, attribute, thread, -1, -1, FLAG_CLOSE_ON_EXEC)
        if self._descriptor < 0:
            error = ctypes.get_errno()
            raise OSError(error, "perf_event_open: " + os.strerror(error))
        try:
            self._memory = mmap.mmap(self._descriptor, (1 + DATA_PAGES) * mmap.PAGESIZE)
        except OSError:
            os.close(self._descriptor)
            raise

    def close(self):
        """Returns the mode of each sample."""
        (end,) = struct.unpack_from("<Q", self._memory, DATA_HEAD_OFFSET)
        modes = []
        position = 0
        while position < end:
            kind, misc, size = RECORD_HEADER.unpack_from(self._memory, mmap.PAGESIZE + position)
            if kind == RECORD_SAMPLE:
                modes.append(misc & MODE_MASK)
            position += size
        self._memory.close()
        os.close(self._descriptor)
        return modes
