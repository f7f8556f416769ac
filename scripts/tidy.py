#!/usr/bin/env python3
"""Runs clang-tidy on each source that the build directories' compile_commands.json name, but for tests.

A source is checked as the first directory that compiles it does: build-clang, and build for the benchmarks. What their headers
say takes most of the time: the sources of one program or library are checked as one, and so are programs of one source each
that are compiled alike.

A source that passed is not looked at again until it, a project header it includes, .clang-tidy, its compile command or
clang-tidy itself has changed: the user's cache directory holds an empty file for each such state. Like ccache's it serves
every clone.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from compiler_environment import compiler_environment

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainring" / "tidy"
# Peers and clients are written in the manner of other libraries, whose headers take long. Tests would be half of the time, for
# slips that their runs and the sanitizers show, or that harm nobody there.
LEFT_OUT = ("subprojects", "benchmarks/peers", "benchmarks/clients", "tests")
INCLUDE = re.compile(rb'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def find_clang_tidy() -> str | None:
    candidates = (f"clang-tidy-{version}" for version in (19, 20, 21, 22, 18, 17))
    return next((path for path in map(shutil.which, candidates) if path), None)


@functools.cache
def content_and_includes(path: Path) -> tuple[bytes, list[Path]]:
    """The file's hash and the project's own files that it includes."""
    content = path.read_bytes()
    included = []
    for kind, name in INCLUDE.findall(content):
        folders = [ROOT / "include", ROOT / "command_line", ROOT / "samples", ROOT / "tests", ROOT]
        if kind == b'"':
            folders.insert(0, path.parent)
        found = next((f / name.decode() for f in folders if (f / name.decode()).is_file()), None)
        if found is not None:
            included.append(found.resolve())
    return hashlib.sha256(content).digest(), included


def size_with_includes(source: Path) -> int:
    return sum(path.stat().st_size for path in (source, *content_and_includes(source)[1]))


def state_of(source: Path, command: str, clang_tidy_version: bytes) -> str:
    digest = hashlib.sha256(clang_tidy_version + command.encode() + (ROOT / ".clang-tidy").read_bytes())
    waiting, seen = [source], {source}
    while waiting:
        content, included = content_and_includes(waiting.pop(0))
        digest.update(content)
        for path in included:
            if path not in seen:
                seen.add(path)
                waiting.append(path)
    return digest.hexdigest()


def sources_of(builds: list[Path]) -> dict[Path, tuple[Path, str]]:
    """The project's own sources, each with its build directory and compile command; of those that every build directory
    generates, the first one's."""
    sources, known = {}, set()
    for build in builds:
        for entry in json.loads((build / "compile_commands.json").read_text()):
            source = (Path(entry["directory"]) / entry["file"]).resolve()
            name = source.relative_to(build if source.is_relative_to(build) else ROOT)
            if not any(name.is_relative_to(folder) for folder in LEFT_OUT) and name not in known:
                known.add(name)
                sources[source] = (build, entry["command"])
    # Those of the library are compiled by the sources that include them.
    included = {path for source in sources for path in content_and_includes(source)[1]}
    return {source: compiled for source, compiled in sources.items() if source not in included}


def options_of(command: str) -> tuple[str, ...]:
    """Of a compilation, without its source, what it writes and its debug information."""
    words = shlex.split(command)
    options = words[next(at for at, word in enumerate(words) if word.startswith("-")) : words.index("-MD")]
    return tuple(option for option in options if not option.endswith(".p") and not option.startswith("-g"))


def target_of(command: str) -> str:
    words = shlex.split(command)
    return str(Path(words[words.index("-o") + 1]).parent)


def together(sources: dict[Path, tuple[Path, str]]) -> list[list[Path]]:
    """The sources, those together that can be checked as one."""
    targets = {}
    for source, (build, command) in sources.items():
        targets.setdefault((build, target_of(command), options_of(command)), []).append(source)
    groups = {}
    for (build, target, options), group in targets.items():
        alone = len(group) == 1 and group[0].parent in (ROOT / "samples", ROOT / "benchmarks")
        groups.setdefault((build, "" if alone else target, options), []).extend(group)
    return list(groups.values())


def include_all(group: list[Path], build: Path) -> Path:
    """A source that includes all of them. Programs are each in a namespace of its own, after what they include."""
    contents = {source: source.read_bytes() for source in group}
    if sum(b"\nint main(" in content for content in contents.values()) > 1:
        lines = {}
        for source, content in contents.items():
            for kind, name in INCLUDE.findall(content):
                near = source.parent / name.decode()
                path = near if kind == b'"' and near.is_file() else name.decode()
                lines[f'#include "{path}"' if kind == b'"' else f"#include <{path}>"] = True
        lines = [*lines, *(f'namespace of_{source.stem} {{\n#include "{source}"\n}}' for source in group)]
    else:
        lines = [f'#include "{source}"' for source in group]
    text = "\n".join(lines) + "\n"
    made = build / f"tidy-{group[0].parent.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.cpp"
    made.write_text(text)
    return made


def check(clang_tidy: str, build: Path, command: str, group: list[Path]) -> str | None:
    """None, or what clang-tidy found."""
    # GCC's command lines have warning options that Clang has not.
    options = ["--quiet", "--extra-arg=-Wno-unknown-warning-option"]
    if len(group) > 1:
        # Of several functions named main none is the program's, which alone may end without a return.
        options += [str(include_all(group, build)), "--", *options_of(command), "-Wno-return-type"]
    else:
        options += ["-p", str(build), str(group[0])]
    if len(group) > 1 or group[0].is_relative_to(build):
        options.insert(0, "--checks=-bugprone-suspicious-include")  # sources that are included
    done = subprocess.run(
        ["nice", clang_tidy, *options],  # to the tests, which run at the same time
        cwd=build,
        env=compiler_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode == 0:
        return None
    return done.stdout.strip() or done.stderr.strip() or f"clang-tidy ended with {done.returncode}"


def without_repetitions(found: str, seen: set[str]) -> str:
    """A header's finding comes with every source that includes it, under many spellings of its path: told once."""
    told, repeated = [], 0
    for finding in re.split(r"^(?=\S+:\d+:\d+: (?:error|warning): )", found, flags=re.MULTILINE):
        if not finding.strip():
            continue
        first_line = finding.partition("\n")[0]
        key = re.sub(r"^\S*/(?=[^/\s]+/[^/\s]+:\d)", "", first_line)
        if key in seen:
            repeated += 1
        else:
            seen.add(key)
            told.append(finding.rstrip())
    if repeated:
        told.append(f"{repeated} more, told above")
    return "\n".join(told)


def forget_old_states() -> None:
    month_ago = time.time() - 30 * 24 * 3600
    for state in CACHE.iterdir():
        if state.stat().st_mtime < month_ago:
            state.unlink(missing_ok=True)


def tidy(builds: list[Path], jobs: int) -> tuple[int, int, dict[str, str]]:
    """How many sources there are, how many had to be checked, and the findings by source."""
    clang_tidy = find_clang_tidy()
    if clang_tidy is None:
        return 1, 0, {"clang-tidy": "not installed; scripts/setup installs it"}
    version = subprocess.run([clang_tidy, "--version"], capture_output=True, check=True).stdout
    CACHE.mkdir(parents=True, exist_ok=True)

    sources = sources_of(builds)
    states = {source: CACHE / state_of(source, command, version) for source, (_, command) in sources.items()}
    unknown = []
    for group in together(sources):
        if all(states[source].exists() for source in group):
            for source in group:
                os.utime(states[source])
        else:
            unknown.append(group)
    # The longest first, so that no core is left alone with one at the end.
    unknown.sort(key=lambda group: sum(map(size_with_includes, group)), reverse=True)

    findings, seen = {}, set()
    with concurrent.futures.ThreadPoolExecutor(jobs) as workers:
        results = workers.map(lambda group: check(clang_tidy, *sources[group[0]], group), unknown)
        for group, found in zip(unknown, results):
            if found is None:
                for source in group:
                    states[source].touch()
            else:
                findings[", ".join(str(source.relative_to(ROOT)) for source in group)] = without_repetitions(found, seen)
    forget_old_states()
    return len(sources), sum(map(len, unknown)), findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", nargs="*", type=Path, default=[ROOT / "build-clang", ROOT / "build"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    sources, checked, findings = tidy(options.builds, options.jobs)
    for found in findings.values():
        print(found)
    print(f"{sources} sources, {checked} checked, {len(findings)} with findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
