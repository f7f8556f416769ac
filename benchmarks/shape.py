"""The two kinds of what is measured: contestants under a load, and a program that compares within itself."""

import dataclasses
import typing

import harness
from contestants import Contestant, Load

# Behind the name of the contestant that runs twice.
AGAIN = " again"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What both kinds of shapes have."""

    name: str
    title: str
    _: dataclasses.KW_ONLY
    unit: str = "message"  # of what is counted
    rounds: int | None = None  # of a figure without noise, or with little
    times_the_rounds: int = 1  # of others, where a figure is close to what was promised; not when quick
    skipped_when_quick: bool = False
    compared: tuple[str, ...] | None = None  # figures whose ratios are shown, where it is not those of most shapes


@dataclasses.dataclass(frozen=True)
class Shape(Measured):
    """Contestants under a load, interleaved. One of them runs twice in every round: how far it is from itself is the noise."""

    load: Load
    contestants: tuple[Contestant, ...]
    twice: str
    measure: typing.Callable = harness.measure
    warmup: float = 0  # seconds at least: until what grows with the load has grown
    not_when_quick: tuple[str, ...] = ()  # contestants
    beside: tuple[tuple[str, str], ...] = ()  # who is compared with whom, where it is not each of chainring's with each of the others


@dataclasses.dataclass(frozen=True)
class Table(Measured):
    """A program that compares within itself, and prints a table."""

    command: tuple[str, ...]
    options: tuple[str, ...] = ()
    quick_options: tuple[str, ...] | None = None  # in place of those
    columns: tuple[str, str] | None = None  # the ratio of these two is shown
