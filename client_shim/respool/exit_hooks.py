"""How the script ends: its exit code for the last record, without a signal handler and without a thread.

Seen: an uncaught exception (1), Ctrl-C (130, as a shell has it), `sys.exit(n)`, `exit(n)`, `quit(n)`, and the
interpreter's ordinary end (0). An exception is seen even if another library took sys.excepthook: the
interpreter itself keeps the last one. A `sys.exit(n)` that the script caught and went on after is void.
Not seen: `os._exit`, a fatal signal. Then nothing is recorded, and who watches the process judges.
A `raise SystemExit(n)` that goes through none of them, as after `from sys import exit` before init(), is seen
by `with respool.init()` only: the interpreter drops it before it calls what runs at the end. What is recorded then is
0, and a daemon corrects it by the kernel's word (Linux 6.15 and later), `respool run` by what it waited for.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn


class ExitHooks:
    """Installed once per run. `at_end` is called with the exit code at the interpreter's end. `progress` is a
    number that moves with the rows: one that moved since sys.exit() says that the script went on.
    """

    def __init__(self, at_end: Callable[[int], None], progress: Callable[[], int]) -> None:
        self.exit_code = 0
        self._at_end = at_end
        self._progress = progress
        self._left_at = 0
        self._earlier_error: Any = None
        self._pid = os.getpid()
        self._exits: list[tuple[Any, str, Any, Any]] = []
        self._excepthook: Any = None
        self._finalizer: Any = None

    def install(self) -> None:
        """Wrap the ways out and sys.excepthook, and be called at the end."""
        self._earlier_error = getattr(sys, "last_value", None)
        for place, name in ((sys, "exit"), (builtins, "exit"), (builtins, "quit")):
            original = getattr(place, name, None)
            if original is not None:
                wrapped = self._noting(original)
                self._exits.append((place, name, original, wrapped))
                setattr(place, name, wrapped)
        self._excepthook, sys.excepthook = sys.excepthook, self._on_exception
        atexit.register(self._finish)
        self._finalizer = self._of_multiprocessing()

    def _of_multiprocessing(self) -> Any:
        """A child that multiprocessing forked leaves by os._exit(), after finalizers of its own."""
        process = sys.modules.get("multiprocessing.process")
        if process is None or process.parent_process() is None:
            return None
        from multiprocessing.util import Finalize  # noqa: PLC0415 - where it is used it is imported

        return Finalize(None, self._finish, exitpriority=0)

    def remove(self) -> None:
        """Undo `install` where nobody wrapped us in turn."""
        atexit.unregister(self._finish)
        if self._finalizer is not None:
            self._finalizer.cancel()
        for place, name, original, wrapped in self._exits:
            if getattr(place, name, None) is wrapped:
                setattr(place, name, original)
        if sys.excepthook == self._on_exception:
            sys.excepthook = self._excepthook

    def _noting(self, leave: Callable[[Any], Any]) -> Callable[..., NoReturn]:
        def noting(code: Any = None, /) -> NoReturn:
            self.exit_code, self._left_at = code_of(code), self._progress()
            leave(code)
            raise SystemExit(code)

        return noting

    def _on_exception(self, kind: Any, error: Any, trace: Any) -> None:
        self.exit_code, self._left_at = code_of_exception(kind, error), self._progress()
        self._excepthook(kind, error, trace)

    def _finish(self) -> None:
        if os.getpid() == self._pid:
            code = self._final_code()
            try:
                self._at_end(code)
            except KeyboardInterrupt:
                # Pressed twice: what has not been recorded of the end by now is, what was waited for is not.
                self._at_end(code)

    def _final_code(self) -> int:
        kind, current, _ = sys.exc_info()
        if current is not None:  # multiprocessing ends a child while what its target raised is on its way
            return code_of_exception(kind, current)
        error = getattr(sys, "last_value", None)
        if error is not None and error is not self._earlier_error:
            return code_of_exception(type(error), error)
        return self.exit_code if self._progress() == self._left_at else 0


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
    return 130 if issubclass(kind, KeyboardInterrupt) else 1
