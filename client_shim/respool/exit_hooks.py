"""How the script ends: its exit code for the last record, without a signal handler and without a thread.

Seen: an uncaught exception (1), Ctrl-C (255, as W&B has it), `sys.exit(n)`, the interpreter's ordinary end (0).
Not seen: `os._exit`, a fatal signal. Then nothing is recorded, and who watches the process judges.
A `raise SystemExit(n)` that does not go through `sys.exit` is seen by `with respool.init()` only.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn


class ExitHooks:
    """Installed once per run. `at_end` is called with the exit code at the interpreter's end."""

    def __init__(self, at_end: Callable[[int], None]) -> None:
        self.exit_code = 0
        self._at_end = at_end
        self._pid = os.getpid()
        self._exit: Any = None
        self._excepthook: Any = None

    def install(self) -> None:
        """Wrap sys.exit and sys.excepthook, and be called at the end."""
        self._exit, sys.exit = sys.exit, self._on_exit
        self._excepthook, sys.excepthook = sys.excepthook, self._on_exception
        atexit.register(self._finish)

    def remove(self) -> None:
        """Undo `install` where nobody wrapped us in turn."""
        atexit.unregister(self._finish)
        if sys.exit == self._on_exit:
            sys.exit = self._exit
        if sys.excepthook == self._on_exception:
            sys.excepthook = self._excepthook

    def _on_exit(self, status: Any = None, /) -> NoReturn:
        self.exit_code = code_of(status)
        self._exit(status)
        raise SystemExit(status)

    def _on_exception(self, kind: Any, error: Any, trace: Any) -> None:
        self.exit_code = 255 if issubclass(kind, KeyboardInterrupt) else 1
        self._excepthook(kind, error, trace)

    def _finish(self) -> None:
        if os.getpid() == self._pid:
            self._at_end(self.exit_code)


def code_of(status: Any) -> int:
    """The exit code that `sys.exit(status)` leads to."""
    if status is None:
        return 0
    return status & 0xFF if isinstance(status, int) else 1


def code_of_exception(kind: type[BaseException] | None, error: BaseException | None) -> int:
    """The exit code of a `with` body that ended with this exception."""
    if kind is None:
        return 0
    if isinstance(error, SystemExit):
        return code_of(error.code)
    return 255 if issubclass(kind, KeyboardInterrupt) else 1
