"""Runs the real redis-server as a contestant: it chooses no port and does not say where it listens. It keeps nothing on disk.

    python3 benchmarks/peers/redis_server.py PROGRAM --listen HOST:PORT
"""

import argparse
import os
import tempfile

from unannounced import announced_port

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--listen", required=True)
options = parser.parse_args()

port = announced_port()

# What it logs goes to standard error.
os.dup2(2, 1)
settings = ("--port", str(port), "--bind", "127.0.0.1", "--dir", tempfile.gettempdir(), "--save", "", "--appendonly", "no")
os.execv(options.program, ["redis-server", *settings])  # which program it is follows from its name
