"""The environment in which the compilers and clang-tidy run."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Their heaps in huge pages, which grow by much and are never given back: Clang needs a fifth less time then. Not for the tests, some of
# which look at the memory that they take.
HEAP = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864:glibc.malloc.trim_threshold=4294967296:glibc.malloc.mmap_threshold=33554432"


def compiler_environment() -> dict[str, str]:
    environment = {"GLIBC_TUNABLES": HEAP, **os.environ}
    # What a source includes is known from the compiler: no second preprocessing for each miss.
    environment["CCACHE_DEPEND"] = "true"
    if environment.get("CI"):
        # Each clone lies elsewhere. Without this no clone would profit from the compilations of another.
        environment["CCACHE_NOHASHDIR"] = "true"
        environment["CCACHE_BASEDIR"] = str(ROOT)
    return environment
