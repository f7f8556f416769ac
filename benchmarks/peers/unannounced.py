"""For peers that choose no port and do not say when they listen."""

import os
import pathlib
import socket


def announced_port():
    """A free port of the loopback; a child says `listening on`, as the others do by themselves, once somebody listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if os.fork() == 0:
        listening = f":{port:04X} 00000000:0000 0A"
        while listening not in pathlib.Path("/proc/net/tcp").read_text():
            pass
        print(f"listening on 127.0.0.1:{port}", flush=True)
        os._exit(0)
    return port
