"""What respool raises, and where: `init` may, `restore` may, the rest only warns unless `strict` is set."""

from __future__ import annotations


class Error(Exception):
    """Base of everything respool raises; also what W&B scripts catch as `wandb.Error`."""


class UsageError(Error, ValueError):
    """The call, a setting or an environment variable asks for something that cannot be done."""


class CommError(Error):
    """Nobody answered where somebody had to. Raised by `restore` only."""


class Superseded(Error):
    """Another attempt of this run took over, and the run was opened with `on_superseded="stop"`."""


class RecordLostError(Error):
    """A record could not be kept, and `strict` asks to hear of it as an exception."""


class LiveRunError(UsageError):
    """The run is alive elsewhere. An id that was only found is given up for a new one."""
