"""Runs the real redis-server as a contestant: it chooses no port and does not say where it listens. It keeps nothing on disk.

    python3 benchmarks/peers/redis_server.py PROGRAM --listen HOST:PORT
"""

import argparse
import os
import pathlib
import socket
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--listen", required=True)
options = parser.parse_args()

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

if os.fork() == 0:
    listening = f":{port:04X} 00000000:0000 0A"
    while listening not in pathlib.Path("/proc/net/tcp").read_text():
        pass
    print(f"listening on 127.0.0.1:{port}", flush=True)
    os._exit(0)

# What it logs goes to standard error.
os.dup2(2, 1)
settings = ("--port", str(port), "--bind", "127.0.0.1", "--dir", tempfile.gettempdir(), "--save", "", "--appendonly", "no")
os.execv(options.program, ["redis-server", *settings])  # which program it is follows from its name
