#!/usr/bin/env python3
"""Writes the inputs that the fuzzer of datagrams begins with: blocks as Linux fills them, and some that are cut or malformed.

    python3 tests/fuzz/make_corpus.py tests/fuzz/datagrams
"""

import pathlib
import struct
import sys

SOL_SOCKET, IPPROTO_IP, IPPROTO_UDP, IPPROTO_IPV6 = 1, 0, 17, 41
NAME = struct.pack("=H", 2) + (7000).to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
MSG_CTRUNC, MSG_TRUNC = 8, 32


def message(level, kind, data, length=None):
    whole = struct.pack("=Qii", 16 + len(data) if length is None else length, level, kind) + data
    return whole + bytes(-len(whole) % 8)


def block(control=b"", payload=b"payload", name=NAME, flags=0, room=(32, 192), lengths=None):
    name_length, control_length, payload_length = lengths or (len(name), len(control), len(payload))
    header = struct.pack("=IIII", name_length, control_length, payload_length, flags)
    filled = header + name.ljust(room[0], b"\0") + control.ljust(room[1], b"\0") + payload
    return bytes(room) + filled


PACKET_INFO = message(IPPROTO_IP, 8, struct.pack("=i", 1) + bytes([127, 0, 0, 1, 127, 0, 0, 9]))
PACKET_INFO_6 = message(IPPROTO_IPV6, 50, bytes(15) + b"\1" + struct.pack("=I", 1))
GRO = message(IPPROTO_UDP, 104, struct.pack("=i", 3))
TIME = message(SOL_SOCKET, 35, struct.pack("=qq", 1_700_000_000, 5))
TIMES = message(SOL_SOCKET, 37, struct.pack("=qqqqqq", 1, 2, 0, 0, 5, 6))
OVERFLOWS = message(SOL_SOCKET, 40, struct.pack("=I", 7))
CREDENTIALS = message(SOL_SOCKET, 2, struct.pack("=iII", 1, 2, 3))
TOS, CLASS = message(IPPROTO_IP, 1, b"\xb9"), message(IPPROTO_IPV6, 67, struct.pack("=i", 0x2E))
ALL = GRO + PACKET_INFO + TOS + TIME + OVERFLOWS

INPUTS = {
    "plain": block(room=(32, 0)),
    "empty": block(payload=b""),
    "everything": block(ALL),
    "by_ipv6": block(PACKET_INFO_6 + CLASS + TIMES),
    "unix": block(CREDENTIALS, name=struct.pack("=H", 1) + b"\0name", room=(112, 80)),
    "gro": block(GRO, payload=b"one" * 20 + b"x"),
    "cut": block(ALL[:50], flags=MSG_CTRUNC | MSG_TRUNC, lengths=(16, 50, 9000)),
    "cut_message": block(message(IPPROTO_IP, 8, b"\1\0\0\0\x7f"), flags=MSG_CTRUNC),
    "length_of_zero": block(message(IPPROTO_IP, 1, b"\1", 0) + GRO),
    "length_beyond": block(message(IPPROTO_IP, 1, b"\1", 1 << 40) + GRO),
    "lengths_of_a_header": block(ALL, lengths=(1 << 31, (1 << 32) - 1, (1 << 32) - 1)),
    "shorter_than_its_layout": block(ALL)[:60],
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in INPUTS.items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
