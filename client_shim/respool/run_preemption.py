"""Preemption as the script meets it: who says that the end is near, how long is left, and what is done about it.

Nothing happens at any other time than inside the trainer's own calls: a notice that the daemon sent is read in
passing, and callbacks run in the thread of the call that read it, after that call has done its work. There is no
signal handler unless the script asks for one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from time import monotonic, time
from typing import Any

from respool.errors import UsageError
from respool.guard import guarded
from respool.run_telemetry import RunTelemetry
from respool.wire.frames import Kind
from respool.wire.limits import RING_SECONDS
from respool.wire.messages import Notice

COPY_SECONDS = 2.0
"""Schedulers signal all processes of a job; `respool run`, timeout(1) or a shell forward to theirs what they got."""


class RunPreemption(RunTelemetry):
    """`_signalled`: the signal that is raised again once the callbacks have run, 0 for none; `_caught`: whether one
    came; `_calling`: a callback runs, whose own calls of respool neither begin another nor raise the signal;
    `_raised`: what a callback raised that would else be taken for a complaint about the arguments of our own call.
    """

    # Of the class until they are used, as in RunFacts.
    _heard_at = 0.0
    _preempting = False
    _marked = False
    _deadline = 0.0
    _due: tuple[Callable[[], Any], ...] = ()
    _callbacks: tuple[Callable[[], Any], ...] = ()
    _signalled = 0
    _caught = _calling = False
    _handled: dict[int, Any] = {}
    _raised: Exception | None = None

    @property
    def preempting(self) -> bool:
        """Whether the daemon, a signal that on_preempt() was asked to handle, or mark_preempting() said that this
        process will be preempted. A notice that was withdrawn makes it False again.
        """
        now = time()
        if not (self._off or 0.0 <= now - self._rung < RING_SECONDS):
            self._upkeep(now)
        return self._preempting

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the machine is taken away, 0 when they are over; None when nobody said how many."""
        if not self.preempting or not self._deadline:
            return None
        return max(0.0, self._deadline - time())

    def mark_preempting(self) -> None:
        """Say that this process will be preempted: recorded, and told to the hub at once."""
        self._preempting = self._marked = True
        if not self._off:
            self._writer.record(Kind.STATE, {"state": "preempting"})
            self._upkeep(time(), urgent=True)

    @guarded(None)
    def on_preempt(self, callback: Callable[[], Any] | None = None, signals: Iterable[int] = ()) -> Any:
        """Call `callback`, without arguments, once this process is about to be preempted: in the trainer's thread,
        at its next call of respool (log, or a look at run.preempting), so that it may save a checkpoint. What it
        raises goes through that call. A decorator, too.

        `signals` (SIGTERM, SIGUSR1 ...) are notices as well: who exits with 0 after one has not finished, unless it
        called finish() or mark_preempting(). The first one is recorded, and is raised again, for what was there
        before, when the callbacks have run, or at once where there are none. Its copies within COPY_SECONDS are the
        same notice; a later one does what it always did. Only the main thread can ask for that.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"a callback of type {type(callback).__name__}, which cannot be called")
        for number in signals:
            self._handle(number)
        if callback is None:
            return self.on_preempt
        self._callbacks = (*self._callbacks, callback)
        if self._preempting:
            self._due = (*self._due, callback)
        return callback

    def _handle(self, number: int) -> None:
        if number in self._handled:
            return
        if threading.current_thread() is not threading.main_thread():
            cause = "on_preempt(signals=) has no effect outside the main thread"
            self._misused("signals", cause, "call it there", "Call it there")
            return
        self._handled = {**self._handled, number: signal.signal(number, self._signal)}

    def _signal(self, number: int, _: Any) -> None:
        """The handler. It may have interrupted any call of ours: what it uses is made for that."""
        if number == self._signalled and 0.0 <= monotonic() - self._heard_at < COPY_SECONDS:
            return
        again = number == self._signalled
        self._signalled = 0
        if not again:
            self._hear(number)
        if not self._signalled:
            self._put_back(number)
            signal.raise_signal(number)

    def _hear(self, number: int) -> None:
        if not self._off:
            self._preempting, self._caught, self._due = True, True, self._callbacks
            source = f"signal {signal.Signals(number).name}"
            self._writer.record(Kind.STATE, {"state": "preempting", "source": source})
            if self._keeper.tether is not None:
                self._keeper.tether.upkeep(urgent=True)
            self._signalled, self._heard_at = (number if self._due else 0), monotonic()

    def _put_back(self, number: int) -> None:
        before = self._handled.get(number)
        self._handled = {other: what for other, what in self._handled.items() if other != number}
        signal.signal(number, signal.SIG_DFL if before is None else before)

    def _handle_no_more(self) -> None:
        """The run is over: the handlers that are still ours go."""
        if self._handled and threading.current_thread() is threading.main_thread():
            for number in self._handled:
                if signal.getsignal(number) == self._signal:
                    self._put_back(number)

    def _upkeep(self, now: float, *, urgent: bool = False) -> None:
        super()._upkeep(now, urgent=urgent)
        if self._calling:
            return
        while self._due:
            callback, *rest = self._due
            self._due, self._calling = tuple(rest), True
            try:
                callback()
            except (TypeError, ValueError, AttributeError, UsageError) as error:
                self._raised = error
                raise
            finally:
                self._calling = False
        if self._signalled:
            number, self._signalled = self._signalled, 0
            self._put_back(number)
            signal.raise_signal(number)

    def _foresee(self, notice: Notice) -> None:
        """The daemon said `preempting` or `withdrawn`."""
        deadline = notice.data.get("deadline")
        self._deadline = float(deadline) if isinstance(deadline, int | float) else 0.0
        if notice.code == "withdrawn":
            self._preempting, self._due = self._marked or self._caught, ()
        elif not self._preempting:
            self._preempting, self._due = True, self._callbacks
