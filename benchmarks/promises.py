"""What chainring promises, each judged from what one run measures."""

from results import Promise

THROUGHPUT, LATENCY = "chainring throughput", "chainring latency"


def _micro(of, row, most, unit="ns"):
    return Promise(of, "micro", row, "chainring", most=most, unit=unit)


def _micro_ratio(of, row, most):
    return Promise(of, "micro", row, "chainring", peer=row, peer_figure="Asio", most=most)


def _redis(shape, figure, **limit):
    return Promise("sample redis", shape, "chainring throughput", figure, peer="redis-server", **limit)


PROMISES = (
    Promise("echo server", "echo-64x64", THROUGHPUT, "cpu_us", peer="liburing loop", most=1.05),
    Promise("echo server", "echo-64x64", THROUGHPUT, "cpu_us", peer="Asio coroutines", most=0.90),
    Promise(
        "echo server", "echo-64x64", THROUGHPUT, "user_us", peer="liburing loop", most=150, difference=True, unit="ns", scale=1000
    ),
    *(
        Promise("echo server", "counted", shape, "allocations", most=0, unit="a message")
        for shape in ("echo, 1 connection", "echo, 64 connections")
    ),
    _micro("echo server", "await a task that completes at once", 10),
    Promise("echo server", "idle", THROUGHPUT, "bytes_per_connection", most=1024, unit="B"),
    _micro("scopes and timers", "spawn and join a task that does nothing", 60),
    _micro("scopes and timers", "arm and cancel a timer, 200,000 armed", 100),
    _micro("scopes and timers", "post to the own executor", 15),
    Promise("scopes and timers", "sleepers", "1000000 tasks", "asleep, MiB", most=512, unit="MiB"),
    Promise("scopes and timers", "sleepers", "1000000 tasks", "p99, us", most=50, unit="ms", scale=0.001),
    Promise("send queue", "pipelined", "chainring write per reply", "per_second", peer="Asio write per reply", least=10),
    Promise("send queue", "pipelined", "chainring write per reply", "per_second", peer="liburing loop", least=0.90),
    Promise("send queue", "pipelined", "chainring write per reply", "cpu_us", peer="liburing loop", most=1.10),
    Promise("send queue", "seqpacket", "chainring", "per_second", peer="Asio coroutines", least=1.10),
    Promise("send queue", "fan-out", "chainring", "per_second", peer="Asio callbacks", least=1.20),
    Promise("send queue", "proxy", "chainring", "per_second", peer="Asio coroutines", least=1.0),
    Promise("send queue", "proxy", "chainring", "per_second", peer="liburing loop", least=0.95),
    Promise("send queue", "churn", THROUGHPUT, "per_second", peer="Asio coroutines", least=1.10),
    Promise("receiving", "datagrams-gso", "chainring with GRO", "per_cpu_second", peer="Asio one at a time", least=3),
    Promise("receiving", "datagrams", "chainring", "per_cpu_second", peer="Asio one at a time", least=1.2),
    Promise("receiving", "echo-64x64", THROUGHPUT, "cpu_us", peer="liburing loop", most=1.03),
    *(
        Promise("receiving", shape, mode, "worst_p99_us", peer=f"{mode} alone", most=3)
        for shape in ("fairness", "fairness-datagrams")
        for mode in (THROUGHPUT, LATENCY)
    ),
    _micro("several cores", "post a coroutine to another thread, sender", 60),
    _micro_ratio("several cores", "post a coroutine to another thread, sender", 1 / 3),
    _micro_ratio("several cores", "wake a sleeping thread by a post, p50", 1),
    _micro("several cores", "a value through a channel, one thread", 40),
    _micro_ratio("several cores", "a value to another executor, 64 places", 1 / 3),
    _micro_ratio("several cores", "a value to another executor, 1024 places", 1 / 3),
    _micro("several cores", "lock a free mutex (std::mutex), one thread", 10),
    _micro("several cores", "lock a free mutex (std::mutex), of two threads", 10),
    *(
        Promise("several cores", shape, "chainring 2 threads", "cpu_us", peer="chainring 1 thread", most=1.10)
        for shape in ("threads", "threads-1000")
    ),
    *(
        Promise("other loops", f"embedded-{mode}", f"chainring in {host}", "per_cpu_second", peer="chainring alone", least=0.85)
        for mode in ("throughput", "latency")
        for host in ("epoll", "Asio", "libuv", "GLib")
    ),
    *(
        promise
        for pipeline, least in ((1, 1.2), (16, 1.3))
        for command in ("get", "set")
        for promise in (
            _redis(f"redis-{pipeline}x50-{command}", "per_cpu_second", least=least),
            _redis(f"redis-{pipeline}x50-{command}", "p99_us", most=1),
        )
    ),
)
