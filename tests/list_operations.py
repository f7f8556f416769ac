"""Writes one line OPERATION(name) for each class in the public headers that a task can wait in as an operation.

    python3 list_operations.py OUTPUT HEADER ...

tests/net/cancel_race_test.cpp includes it, and does not compile if it has no case for one of them.
"""

import pathlib
import re
import sys

# class name : public operation<name, ...>, or of one SQE: public ring_operation<name<...>>
DERIVED = re.compile(r"class\s+(?:\[\[.*?\]\]\s+)?(\w+)\s*(?:final\s*)?:\s*public\s+(?:ring_)?operation<(\w+)", re.S)


def operations(headers):
    for header in headers:
        for name, base in DERIVED.findall(pathlib.Path(header).read_text()):
            if name == base:  # a class template that all derive from is none itself
                yield name


def main():
    output, *headers = sys.argv[1:]
    names = sorted(set(operations(headers)))
    if not names:
        sys.exit("list_operations.py: no operation found in the headers")
    pathlib.Path(output).write_text("".join(f"OPERATION({name})\n" for name in names))


if __name__ == "__main__":
    main()
