"""How a command ends: the four exit codes, and the error that carries one with its two sentences."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    DONE = 0
    BAD = 1
    USAGE = 2
    UNREACHABLE = 3


class CommandError(Exception):
    """A command cannot do what it was asked: one sentence of cause, one of advice. `code`: of Exit, but for who runs
    another's command.
    """

    def __init__(self, code: int, cause: str, advice: str = "") -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.advice = advice


class DeniedError(CommandError):
    """The hub does not take the key, or does not let its owner do this."""

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(Exit.USAGE, cause, advice)
