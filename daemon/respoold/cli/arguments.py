"""Arguments that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from math import inf

from respoold.config import size_of

LAST_EXIT = 255


def add_reading_arguments(parser: ArgumentParser) -> None:
    """--hub and --json, as every reading command has them."""
    parser.add_argument("--hub", metavar="URL", help="ask this hub instead of the daemon's")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


def lifetime(text: str) -> float:
    """Seconds, of a number of days, hours or weeks: 90d, 12h, 4w."""
    units = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or int(number) < 1 or unit not in units:
        raise ArgumentTypeError(f"{text!r} is no time such as 12h, 90d or 4w")
    return int(number) * units[unit]


def octets(text: str) -> int:
    """Bytes, of a size such as 500M or 2GiB."""
    try:
        size = size_of(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is {error}") from error
    if size < 0:
        raise ArgumentTypeError(f"{text!r} is negative")
    return size


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def natural(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds from 0 on."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < inf:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 on")
    return found


def failure(text: str) -> int:
    """An exit code that is no success."""
    if not text.isdecimal() or not 1 <= int(text) <= LAST_EXIT:
        raise ArgumentTypeError(f"{text!r} is no exit code from 1 to {LAST_EXIT}")
    return int(text)
