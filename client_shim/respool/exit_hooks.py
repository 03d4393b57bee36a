"""How the script ends: its exit code for the last record, without a signal handler and without a thread.

Seen: an uncaught exception (1), Ctrl-C (255, as W&B has it), `sys.exit(n)`, `exit(n)`, `quit(n)`, and the
interpreter's ordinary end (0).
Not seen: `os._exit`, a fatal signal. Then nothing is recorded, and who watches the process judges.
A `raise SystemExit(n)` that goes through none of them is seen by `with respool.init()` only.
"""

from __future__ import annotations

import atexit
import builtins
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
        self._exits: list[tuple[Any, str, Any, Any]] = []
        self._excepthook: Any = None

    def install(self) -> None:
        """Wrap the ways out and sys.excepthook, and be called at the end."""
        for place, name in ((sys, "exit"), (builtins, "exit"), (builtins, "quit")):
            original = getattr(place, name, None)
            if original is not None:
                wrapped = self._noting(original)
                self._exits.append((place, name, original, wrapped))
                setattr(place, name, wrapped)
        self._excepthook, sys.excepthook = sys.excepthook, self._on_exception
        atexit.register(self._finish)

    def remove(self) -> None:
        """Undo `install` where nobody wrapped us in turn."""
        atexit.unregister(self._finish)
        for place, name, original, wrapped in self._exits:
            if getattr(place, name, None) is wrapped:
                setattr(place, name, original)
        if sys.excepthook == self._on_exception:
            sys.excepthook = self._excepthook

    def _noting(self, leave: Callable[[Any], Any]) -> Callable[..., NoReturn]:
        def noting(code: Any = None, /) -> NoReturn:
            self.exit_code = code_of(code)
            leave(code)
            raise SystemExit(code)

        return noting

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
