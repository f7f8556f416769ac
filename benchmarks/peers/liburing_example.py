"""Runs the proxy among liburing's examples as a contestant: it chooses no port and does not say when it listens.

    python3 benchmarks/peers/liburing_example.py PROGRAM --connect HOST:PORT --listen HOST:PORT
"""

import argparse
import os

from unannounced import announced_port

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--connect", required=True)
parser.add_argument("--listen", required=True)
options = parser.parse_args()

port = announced_port()

host, upstream = options.connect.rsplit(":", 1)
# One way, which is all that the load sends: both ways it stalls. Multishot receives and bundles each way, as its own
# examples have it; these buffers were the best of several. What it prints at its end goes to standard error.
arguments = ["-m1", "-B0", "-c1", "-u1", "-C1", "-b4096", "-n1024", f"-r{port}", "-H", host, f"-p{upstream}"]
os.dup2(2, 1)
os.execv(options.program, [options.program, *arguments])
