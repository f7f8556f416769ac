#!/usr/bin/env python3
"""User memory of an idle connection: the growth of an echo server's resident memory over many connections.

    python3 benchmarks/idle_memory.py [--build build] [--connections 9000] [--limit 1024]

Each connection makes one exchange and then stays. Before the count begins the receive buffers, which all connections share,
are cycled once: 64 connections send more than the pool holds.
"""

import argparse
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys

LIMIT = 60  # seconds
PROGRAMS = {"chainring": "samples/echo", "asio": "benchmarks/asio_epoll"}


def connect(address):
    host, port = address.rsplit(":", 1)
    connected = socket.create_connection((host, int(port)), LIMIT)
    connected.settimeout(LIMIT)
    return connected


def receive_exactly(connected, size):
    while size > 0:
        part = connected.recv(min(size, 65536))
        if not part:
            sys.exit("idle_memory: the server closed a connection")
        size -= len(part)


def resident(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    sys.exit("idle_memory: the system does not tell a process's resident memory")


def cycle_buffers(address):
    crowd = [connect(address) for _ in range(64)]
    for _ in range(3):
        for connected in crowd:
            connected.sendall(b"x" * 60_000)
        for connected in crowd:
            receive_exactly(connected, 60_000)
    for connected in crowd:
        connected.close()


def bytes_per_connection(program, count):
    with subprocess.Popen([program, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split()[-1]
            cycle_buffers(address)
            before = resident(process)
            idle = []
            for _ in range(count):
                connected = connect(address)
                connected.sendall(b"x" * 64)
                receive_exactly(connected, 64)
                idle.append(connected)
            grown = resident(process) - before
            for connected in idle:
                connected.close()
            return grown / count
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--limit", type=int, help="fail if chainring's takes more bytes; its peers are not measured")
    options = parser.parse_args()

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < options.connections + 200:
        sys.exit(f"idle_memory: {options.connections} connections need more descriptors than the limit of {hard}")
    if options.limit is not None:
        used = bytes_per_connection(options.build / PROGRAMS["chainring"], options.connections)
        print(f"{used:.0f} bytes per idle connection, at most {options.limit} are allowed")
        sys.exit(used > options.limit)
    for name, path in PROGRAMS.items():
        program = options.build / path
        if not os.access(program, os.X_OK):
            print(f"{name:12} not built")
            continue
        print(f"{name:12} {bytes_per_connection(program, options.connections):8.0f} bytes per idle connection")


if __name__ == "__main__":
    main()
