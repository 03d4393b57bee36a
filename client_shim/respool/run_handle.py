"""`Run`: what init() returns and what scripts log into.

Nothing here raises into a training loop unless `strict`, `restore` excepted, and nothing waits but what says
so. `log` is the hot path: pack, one pwrite, fold; everything unusual is elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import time
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self

from respool import ending, notices, restoring, row_codec, saving
from respool.blobs import SnapshotError
from respool.compat import absent
from respool.config_map import Config
from respool.errors import RecordLostError, Superseded, UsageError
from respool.exit_hooks import ExitHooks, code_of, code_of_exception
from respool.guard import guarded
from respool.keeper import Keeper
from respool.run_facts import Place, RunFacts
from respool.segment_writer import SegmentWriter
from respool.summary_map import Summary
from respool.wire import codec
from respool.wire.frames import EXPLICIT_STEP, NO_STEP, Kind
from respool.wire.limits import RING_SECONDS
from respool.wire.messages import Notice, Status, StatusRequest
from respool.wire.view import merge_summary

_LIVE, _FINISHED, _FORKED, _DISABLED = "live", "finished", "forked", "disabled"
_ROW = int(Kind.ROW)
_flat = codec.LEAVES.issuperset


class Run(RunFacts):
    """One attempt of a run, as its script sees it. Ends with finish(), `with`, or the interpreter.

    `renew` makes the keeper of a further attempt of this process (for rewind), `on_end` hears (run, exit code)
    once when it is over.
    """

    def __init__(
        self, keeper: Keeper, place: Place, renew: Callable[[], Keeper], on_end: Callable[[Run, int], None]
    ) -> None:
        super().__init__(keeper.attached, place, time())
        self._renew = renew
        self._on_end = on_end
        self._pack = codec.new_packer()
        self._metrics: dict[str, Any] = dict(self._meta.get("metrics") or {})
        self._names: set[str] = set()
        self._summary_values: dict[str, Any] = dict(keeper.attached.summary)
        self._config_values: dict[str, Any] = dict(keeper.attached.config)
        self.config = Config(self._config_values, self._config_changed, strict=bool(place.settings.strict))
        self.summary = Summary(self._summary_values, self._summary_changed)
        self.hooks = ExitHooks(lambda code: self._end(code, "exit"), lambda: self._last_step)
        self._state = _LIVE
        self._off = False
        self._stop = False
        self._begin(keeper)

    def _begin(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._last_step = NO_STEP
        self._rung = 0.0
        if keeper.opened is None:
            self._state, self._off = _DISABLED, True
            return
        self._writer = SegmentWriter(
            keeper.opened, keeper.supply, self._snapshot, strict=bool(self._place.settings.strict)
        )
        self._lock, self._append = self._writer.lock, self._writer.append
        if keeper.tether is not None:
            keeper.tether.follow(self._writer, self._notice)

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
        with self._lock:
            if step is None:
                at, flags = self._step, 0
                after = at if commit is False else at + 1
            else:
                at, flags, after = self._explicit(step, commit)
            try:
                payload = self._pack(data)
            except row_codec.UNPACKABLE:
                data = row_codec.plain_map(data)
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
        if not 0.0 <= now - self._rung < RING_SECONDS:
            self._upkeep(now)

    @guarded(None)
    def define_metric(
        self,
        name: str,
        step_metric: str | None = None,
        step_sync: bool | None = None,  # noqa: ARG002 - in W&B's signature, as are all but `summary`
        hidden: bool | None = None,  # noqa: ARG002 - as above
        summary: str | None = None,
        *_: Any,
        **__: Any,
    ) -> None:
        """How `name` is summarised (`last`, `min`, `max`, `none`) and which metric is its x axis. What else W&B
        takes has no effect.
        """
        how = summary if summary in {"last", "min", "max", "none"} else None
        if how != summary:
            text = (
                f"define_metric({name!r}, summary={summary!r}): known are last, min, max, none; last it is."
            )
            notices.warn(f"metric {name}", text)
        given = {"summary": how, "step_metric": step_metric}
        self._metrics = {**self._metrics, name: {key: value for key, value in given.items() if value}}
        self._describe(metrics=self._metrics)

    @guarded(False)
    def save(
        self, glob_str: Any = None, base_path: Any = None, policy: str = "live", *, glob: bool = True
    ) -> list[str] | bool:
        """Keep a version of each file that a path or pattern means, as it is now, whatever the policy. Waits
        for one copy of its bytes (a reflink where the file system has it). Returns the paths kept; False when
        there is none, which is warned of.
        """
        if self._off or glob_str is None:
            self._unusual({})
            return False
        if policy not in saving.POLICIES:
            notices.warn(
                "policy", f"save(policy={policy!r}): known are live, now, end; the file is kept now."
            )
        if isinstance(glob_str, (list, tuple)):
            each = [self.save(one, base_path, policy, glob=glob) for one in glob_str if one is not None]
            return [path for found in each if isinstance(found, list) for path in found] or False
        pattern = os.fsdecode(glob_str)
        base = None if base_path is None else os.fsdecode(base_path)
        found = saving.matches(pattern, literal=not glob)
        if not found:
            notices.warn(f"save {pattern}", f"save({pattern!r}) matches no file; nothing was kept.")
        kept = [path for path in found if self._save_one(path, base, policy)]
        self._upkeep(time())
        return kept or False

    def restore(
        self, name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
    ) -> BinaryIO:
        """The newest committed version of a file of this run, or of `run_path`, opened for reading bytes; its
        `.name` is where it was put: below `root`, or below `run.dir`. Waits for it up to ten minutes. Raises
        FileNotFoundError when there is none, CommError when nobody could be asked.
        """
        return restoring.restore(self._keeper, name, run_path, root, self.dir, replace=replace)

    @guarded(False)
    def rewind(self, step: int) -> bool:
        """The history continues at `step`: rows from there on are hidden, not deleted. After the first row of
        an attempt this opens a further one. Says whether it was done.
        """
        to = row_codec.step_of(step)
        if self._off or to is None or to < 0:
            notices.warn(
                "rewind", f"rewind({step!r:.40}) was not done: it takes a step, and a run that is going on."
            )
            return False
        with self._lock:
            if self._last_step != NO_STEP:
                self._writer.record(Kind.STATE, {"state": "ended", "exit_code": None, "reason": "rewound"})
                self._leave()
                self._begin_again(self._renew())
            self._step = to
            return self._state == _LIVE and self._writer.record(Kind.CUT, {"step": to})

    def mark_preempting(self) -> None:
        """Say that this process will be preempted: recorded, and told to the hub at once."""
        self.preempting = True
        if not self._off:
            self._writer.record(Kind.STATE, {"state": "preempting"})
            self._upkeep(time(), urgent=True)

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
        lost = 0 if self._state == _DISABLED else self._writer.lost
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
        return absent(f"run.{name}")

    def __repr__(self) -> str:
        return f"<respool run {self.path} ({self.__dict__.get('_state', 'beginning')})>"

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"run {self.path} cannot be pickled. Pass run.path and open it again with init(id=)."
        )

    def set_meta(self, **changes: Any) -> None:
        """Change name, notes, tags, group or job_type."""
        self._describe(**changes)

    def update_config(self, values: dict[str, Any]) -> None:
        """What init(config=) passed, over what was inherited: changes are recorded, none is warned of."""
        self.config.update(values, allow_val_change=True)

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that opened the run."""
        return self._state == _FORKED

    def forked(self) -> None:
        """This is a forked child now: close everything, keep nothing."""
        if self._state == _LIVE:
            self._state, self._off = _FORKED, True
            self._keeper.close()
            self._writer.forsake()
            self._lock = self._writer.lock

    def _explicit(self, step: Any, commit: bool | None) -> tuple[int, int, int]:
        at = row_codec.step_of(step)
        if at is None:
            notices.warn("step", f"log(step={step!r:.40}) is no integer; step {self._step} is used.")
            return self._step, 0, self._step + (commit is not False)
        if at < self._step:
            return at, EXPLICIT_STEP, self._step
        return at, EXPLICIT_STEP, at + 1 if commit else at

    def _unusual(self, data: Any) -> dict[str, Any] | None:
        """What to log instead of an argument that is no dict, or None in a run that takes nothing more."""
        if self._stop:
            raise Superseded(
                f"Another attempt took run {self.path} over. Start again to continue from its history."
            )
        if self._state == _FORKED:
            notices.warn(
                "forked", f"log() in a forked child is dropped; log from the process that opened {self.id}."
            )
        elif self._state == _FINISHED:
            notices.warn(
                "finished", f"run {self.id} is finished; what is logged now is dropped. Call init() again."
            )
        if self._off:
            return None
        try:
            if hasattr(data, "keys"):
                return dict(data)
        except Exception as error:  # noqa: BLE001 - whatever a foreign mapping raises, it is no row
            notices.warn("mapping", f"log() could not read its argument: {error!r:.200}.")
        text = f"log() takes a dict of values, not {type(data).__name__}; the call is ignored."
        if self._place.settings.strict:
            raise RecordLostError(f"{text} Pass {{'name': value}}.")
        notices.warn("not-a-dict", text)
        return None

    def _upkeep(self, now: float, *, urgent: bool = False) -> None:
        self._rung = now
        if self._keeper.tether is not None and not self._off:
            self._keeper.tether.upkeep(urgent=urgent)

    def _notice(self, notice: Notice) -> None:
        notices.warn(f"notice {notice.code}", notice.text)
        if notice.code == "preempting":
            self.preempting = True
        if notice.code == "superseded":
            self.superseded = True
            if self._place.on_superseded == "stop":
                self._stop = self._off = True

    def _config_changed(self, new: dict[str, Any], gone: list[str]) -> None:
        self._changed(Kind.CONFIG, new, gone)

    def _summary_changed(self, new: dict[str, Any], gone: list[str]) -> None:
        self._changed(Kind.SUMMARY, new, gone)

    def _changed(self, kind: Kind, new: dict[str, Any], gone: list[str]) -> None:
        payload = None if self._off else row_codec.pack_map({"set": new, "unset": gone})
        if payload is not None:
            with self._lock:
                self._append(kind, payload, NO_STEP, 0, time())

    def _describe(self, **changes: Any) -> None:
        self._meta.update(changes)
        payload = None if self._off else row_codec.pack_map(changes)
        if payload is not None:
            with self._lock:
                self._append(Kind.META, payload, NO_STEP, 0, time())

    def _snapshot(self) -> bytes | None:
        view = {"config": self._config_values, "summary": self._summary_values, "meta": self._meta}
        return row_codec.pack_map({**view, "last_step": self.last_step})

    def _save_one(self, path: str, base: str | None, policy: str) -> bool:
        try:
            name = saving.name_in_run(path, base, self._folder)
            saved = saving.take(path, name, policy, self._keeper.room.grant)
        except SnapshotError as error:
            saving.complain(path, error)
            if self._place.settings.strict:
                raise RecordLostError(
                    f"save({path!r}): {error}. Free space, or save another file."
                ) from error
            return False
        with self._lock:
            return self._append(Kind.FILE, codec.pack(saved.record), self._last_step, 0, time())

    def _begin_again(self, keeper: Keeper) -> None:
        self._attached = keeper.attached
        self._begin(keeper)

    def _leave(self) -> None:
        """Let go of the present attempt's keeper; its records are synced first."""
        self._writer.settle()
        ending.synced(self._writer, self._keeper.tether)
        self._keeper.close()
        self._writer.close()

    def _end(self, exit_code: int, reason: str) -> None:
        if self._state == _DISABLED:
            self._state = _FINISHED
            self._on_end(self, exit_code)
        if self._state != _LIVE:
            return
        # A signal handler that interrupted log() holds its lock: that call will still use the descriptors.
        interrupted = self._lock._is_owned()  # type: ignore[attr-defined]
        self._writer.record(Kind.STATE, {"state": "ended", "exit_code": exit_code, "reason": reason})
        self._writer.settle()
        self._state, self._off = _FINISHED, True
        tether, lasting = self._keeper.tether, self._keeper.attached.lasting
        if tether is not None:
            tether.upkeep(urgent=True)
        sent = not lasting and ending.drained(tether, ending.DRAIN_SECONDS)
        safe = ending.synced(self._writer, tether)
        if not interrupted:
            self._keeper.close()
            self._writer.close()
        ending.receipt(self, exit_code, safe=safe, sent=sent, lasting=lasting, lost=self._writer.lost)
        self._on_end(self, exit_code)
