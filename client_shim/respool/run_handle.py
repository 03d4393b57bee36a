"""`Run`: what init() returns and what scripts log into.

Nothing here raises into a training loop unless `strict`, `restore` excepted, and nothing waits but what says
so. `log` is the hot path: pack, one pwrite, fold; everything unusual is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from types import TracebackType
from typing import Any, NoReturn, Self

from respool import ending, notices, receipt, retelling, row_codec
from respool.compat import absent
from respool.errors import UsageError
from respool.exit_hooks import ExitHooks, code_of, code_of_exception
from respool.guard import guarded
from respool.keeper import Keeper
from respool.row_media import MediaFoundError
from respool.run_artifacts import RunArtifacts
from respool.run_checkpoints import RunCheckpoints
from respool.run_facts import Place
from respool.run_preemption import RunPreemption
from respool.run_records import DISABLED, FINISHED, FORKED, LIVE
from respool.segment_writer import SegmentWriter
from respool.wire import codec
from respool.wire.frames import EXPLICIT_STEP, NO_STEP, Kind
from respool.wire.identity import FIRST_JOINED
from respool.wire.limits import HIDES_NOTHING, RING_SECONDS
from respool.wire.messages import Notice, Status, StatusRequest
from respool.wire.summing import merge_summary

_ROW = int(Kind.ROW)
_flat = codec.LEAVES.issuperset


class Run(RunPreemption, RunArtifacts, RunCheckpoints):
    """One attempt of a run, as its script sees it. Ends with finish(), `with`, or the interpreter.

    `renew` makes the keeper of a further attempt of this process (for rewind), `on_end` hears once that it is over,
    and whether it is done: nothing of it is left for another process.
    """

    def __init__(
        self, keeper: Keeper, place: Place, renew: Callable[[], Keeper], on_end: Callable[[Run, bool], None]
    ) -> None:
        super().__init__(keeper, place)
        self._renew = renew
        self._on_end = on_end
        self._pack = codec.new_packer()
        self.hooks = ExitHooks(lambda code: self._end(code, "exit"), lambda: self._last_step)
        self._begin(keeper)

    def _begin(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._told = False
        self._last_step = NO_STEP
        self._rung = 0.0
        # A joined process cuts nothing, nor does one beside the primary.
        attached = keeper.attached
        self._leads = attached.resumed and not attached.joined and attached.writer == 0
        self._untold = retelling.ROWS if self._leads else 0
        if keeper.opened is None:
            self._state, self._off = DISABLED, True
            return
        self._writer = SegmentWriter(
            keeper.opened, keeper.supply, self._snapshot, strict=bool(self._place.settings.strict)
        )
        self._lock, self._append, self._beside = self._writer.lock, self._writer.append, self._writer.beside
        if keeper.tether is not None:
            keeper.tether.follow(self._writer, self._notice)
        if keeper.watch is not None:
            keeper.watch.follow(self._notice)

    def log(
        self,
        data: dict[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,  # noqa: ARG002 - in W&B's signature
    ) -> None:
        """Keep one row. When this returns the row outlives any process (it is in the page cache; `flush` makes
        it outlive the machine). Without `step` it is `run.step`, which advances unless `commit=False`. A step
        lower than `run.step` makes a late row: kept with its step, `run.step` stays. `sync` is ignored.
        """
        if self._off or type(data) is not dict:
            taken = self._unusual(data)
            if taken is None:
                return
            data = taken
        now = time()
        try:
            with self._lock:
                if step is None:
                    at, flags = self._step, 0
                    after = at if commit is False else at + 1
                else:
                    at, flags, after = self._explicit(step, commit)
                try:
                    payload = self._pack(data)
                except row_codec.UNPACKABLE:
                    data = row_codec.plain_row(data)
                    payload = self._pack(data)
                # msgpack takes keys that no reader does: names are looked at when new, and values that hold dicts.
                if (not self._names.issuperset(data) and row_codec.has_odd_name(data, self._names)) or (
                    not _flat(map(type, data.values())) and codec.has_odd_key(data)
                ):
                    data = row_codec.plain_map(data)
                    payload = self._pack(data)
                # Folded after it is written: a snapshot that makes room for this row must not contain it.
                if self._append(_ROW, payload, at, flags, now) and at > self._last_step:
                    self._last_step = at
                self._step = after
                if self._metrics:
                    merge_summary(self._summary_values, data, self._metrics)
                else:
                    self._summary_values.update(data)
        except MediaFoundError:
            self.log(self._with_references(data, step), step, commit)
            return
        if not 0.0 <= now - self._rung < RING_SECONDS:
            self._in_passing(data, at, flags, now)

    def _log_beside(self, row: dict[str, Any]) -> None:
        if not self._off:
            self.log(row, commit=False)

    @guarded(False)
    def rewind(self, step: int) -> bool:
        """The history continues at `step`: rows from there on are hidden, not deleted. After the first row of
        an attempt this opens a further one. Says whether it was done.
        """
        if self._off:
            self._unusual({}, "rewind")
            return False
        to = row_codec.step_of(step)
        if to is None or to < 0:
            cause = f"rewind({notices.shown(step, 40)}) names no step of a history"
            self._misused("rewind", cause, "nothing was done", "Pass a whole number of 0 or more")
            return False
        if self._attached.writer >= FIRST_JOINED:
            cause = "rewind() in a process that joined without a rank cannot cut the history"
            self._misused("rewind", cause, "nothing was done", "Call it in the trainer")
            return False
        with self._lock:
            if self._last_step != NO_STEP:
                self._writer.record(Kind.STATE, {"state": "ended", "exit_code": None, "reason": "rewound"})
                self._leave()
                self._begin_again(self._renew())
            self._step = to
            return self._state == LIVE and self._cut(to)

    def _cut(self, to: int) -> bool:
        done = self._writer.record(Kind.CUT, {"step": to})
        self._untold, self._leads = 0, False
        text = retelling.rewound(self._attached, self.path, to)
        if done and text:
            notices.line(text)
        return done

    @guarded(False)
    def flush(self, timeout: float | None = None, hub: bool = True) -> bool:
        """Wait until everything logged is at the hub; at most `timeout` seconds, 120 unless given. True when it
        is. With `hub=False`: until it is durable in the spool. Without a daemon only the latter can be.
        """
        if self._off:
            return False
        seconds = ending.DRAIN_SECONDS if timeout is None else timeout
        tether = self._keeper.tether
        if hub and tether is not None:
            return ending.drained(tether, seconds, patient=True)
        return ending.synced(self._writer, tether, min(seconds, ending.SYNC_SECONDS)) and not hub

    def status(self) -> dict[str, Any]:
        """What the daemon keeps and why (as `respool status --json`), or what is known without one."""
        tether = self._keeper.tether
        answer = None if tether is None else tether.ask(StatusRequest(), 2.0)
        if answer is not None and isinstance(answer.message, Status):
            return answer.message.status
        lost = 0 if self._state == DISABLED else self._writer.lost
        run: dict[str, Any] = {"project": self.project, "run_id": self.id, "attempt_id": self.attempt_id}
        run |= {"state": self._state, "last_step": self.last_step, "lost": lost}
        return {"daemon": None, "spool": self._keeper.attached.directory, "runs": [run]}

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:  # noqa: ARG002 - as W&B
        """End the run: exit code 0 unless given. Returns when everything is durable in the spool, or, where no
        daemon outlives this process, at the hub (120 s at most). Further calls do nothing.
        """
        self._end(code_of(exit_code), "finish")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(code_of_exception(kind, error), "with")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in {"preempting", "seconds_left"} and self._raised is not None:
            # Python asks here when a property raises AttributeError, as a callback of the script may.
            error, self._raised = self._raised, None
            raise error
        return absent(f"run.{name}")

    def __repr__(self) -> str:
        return f"<respool run {self.path} ({self.__dict__.get('_state', 'beginning')})>"

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"run {self.path} cannot be pickled. Pass run.path and open it again with init(id=)."
        )

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that opened the run."""
        return self._state == FORKED

    def forked(self) -> None:
        """This is a forked child now: close everything, keep nothing."""
        if self._state == LIVE:
            self._state, self._off = FORKED, True
            self._forsake_console()
            self._keeper.close()
            self._writer.forsake()
            self._lock = self._writer.lock

    def _explicit(self, step: Any, commit: bool | None) -> tuple[int, int, int]:
        at = row_codec.step_of(step)
        if at is None:
            why = row_codec.why_no_step(step)
            cause = f"log(step={notices.shown(step, 40)}) {why}"
            self._misused(f"step {why}", cause, f"step {self._step} is used", "Pass a whole number")
            return self._step, 0, self._step + (commit is not False)
        if at < self._step:
            return at, EXPLICIT_STEP, self._step
        return at, EXPLICIT_STEP, at + 1 if commit else at

    def _notice(self, notice: Notice) -> None:
        if notice.code == "withdrawn" and not self._preempting:
            return  # a daemon that came back does not know what we heard
        notices.warn(f"notice {notice.code}", notice.text)
        if notice.code in {"preempting", "withdrawn"}:
            self._foresee(notice)
        if notice.code == "superseded":
            self.superseded = True
            if self._place.on_superseded == "stop":
                self._stop = self._off = True

    def _begin_again(self, keeper: Keeper) -> None:
        self._attached = keeper.attached
        self._begin(keeper)
        self._say_how_begun()

    def _leave(self) -> None:
        """Let go of the present attempt's keeper; its records are synced first."""
        self._writer.settle()
        self._settle_staged()
        ending.synced(self._writer, self._keeper.tether)
        self._keeper.close()
        self._writer.close()

    def _end(self, exit_code: int, reason: str) -> None:
        if self._state == DISABLED:
            self._state = FINISHED
            self._on_end(self, exit_code == 0)
        if self._state != LIVE:
            return
        self._listen_no_more()
        self._handle_no_more()
        tether = self._keeper.tether
        if tether is not None:
            tether.upkeep()  # a notice that came since the last call counts
        # Who catches a notice's signal and falls off its end with 0 is not done, unless it says so.
        done = exit_code == 0 and (reason == "finish" or self._marked or not self._preempting)
        # A signal handler that interrupted log() holds its lock: that call will still use the descriptors.
        interrupted = self._lock._is_owned()  # type: ignore[attr-defined]
        self._keep_last(exit_code)
        if done and self._leads and self._last_step == NO_STEP:
            # A later evaluation logs no row: what it says in summary, config and files is the run's all the same.
            self._writer.record(Kind.CUT, {"step": HIDES_NOTHING})
        self._writer.record(Kind.STATE, {"state": "ended", "exit_code": exit_code, "reason": reason})
        self._writer.settle()
        self._state, self._off = FINISHED, True
        if tether is not None:
            tether.upkeep(urgent=True)
        safe = ending.synced(self._writer, tether)
        self._note_checkpoints()
        waiting = time()
        lasting, sent, stopped = ending.awaited(self._keeper, self._place.mode, ending.DRAIN_SECONDS)
        kept = receipt.balance(self._keeper, self._writer)
        if not interrupted:
            self._keeper.close()
            self._writer.close()
        late = None if lasting or sent else time() - waiting
        how = "finished" if done else f"ended with exit code {exit_code}" if exit_code else "was preempted"
        receipt.show(self, how, kept, safe=safe, sent=sent, late=late, lost=self._writer.lost)
        self._on_end(self, done)
        if stopped and reason != "exit":  # there it would be a traceback, and end nothing
            raise KeyboardInterrupt
