"""What respool raises, and where: `init` may, `restore` may, the rest only warns unless `strict` is set."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """Base of everything respool raises; also what W&B scripts catch as `wandb.Error`."""


class UsageError(Error, ValueError):
    """The call, a setting or an environment variable asks for something that cannot be done."""


class CommError(Error):
    """Nobody answered where somebody had to. Raised by `restore` only."""


class NotFoundError(CommError, FileNotFoundError, ValueError):
    """A run, file or artifact that the hub does not know. W&B raised the first and raises the last."""


class AwayError(CommError):
    """The hub does not answer, or cannot now. Waiting may help."""


class AuthenticationError(CommError):
    """W&B's name. A key that a hub does not take is a CommError that says so."""


class UnsupportedError(UsageError):
    """W&B's name. What cannot be done is a UsageError here."""


class WandbCoreNotAvailableError(Error):
    """W&B's name. Never raised: a daemon that is not there is no error."""


class Superseded(Error):
    """Another attempt of this run took over, and the run was opened with `on_superseded="stop"`."""


class RecordLostError(Error):
    """A record could not be kept, and `strict` asks to hear of it as an exception."""


class LiveRunError(UsageError):
    """The run is alive elsewhere. An id that was only found is given up for a new one."""


def __getattr__(name: str) -> Any:
    if name in {"ansi", "errors", "links", "term", "util", "warnings"}:
        from respool.compat import absent  # noqa: PLC0415 - compat is not needed to raise an error

        return absent(f"errors.{name}")
    raise AttributeError(f"module 'respool.errors' has no attribute {name!r}")
