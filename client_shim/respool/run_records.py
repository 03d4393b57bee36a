"""What a run writes beside its rows: config, summary, what it is called, how its metrics are summed up."""

from __future__ import annotations

import threading
from math import inf
from time import time
from typing import TYPE_CHECKING, Any

from respool import metrics, notices, retelling, row_codec, snapshot
from respool.config_map import Config
from respool.errors import RecordLostError, Superseded
from respool.guard import guarded
from respool.metrics import Metric, MetricNames
from respool.run_facts import Place, RunFacts
from respool.summary_map import Summary
from respool.wire.frames import EXPLICIT_STEP, NO_STEP, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from respool.arena import Arena
    from respool.keeper import Keeper
    from respool.local_retention import LocalRetention
    from respool.segment_writer import SegmentWriter

LIVE, FINISHED, FORKED, DISABLED = "live", "finished", "forked", "disabled"


class RunRecords(RunFacts):
    """The maps of a run and their records. `_off`: nothing is kept any more, or nothing ever was."""

    _lock: threading.RLock
    _beside: Callable[..., bool]
    _writer: SegmentWriter

    _staging: Arena | None = None
    _local_retention: LocalRetention | None = None
    _stop = False

    def __init__(self, keeper: Keeper, place: Place) -> None:
        super().__init__(keeper.attached, place, time())
        self._keeper = keeper
        if not keeper.attached.resumed:
            # What a run that is started over logged before is on another branch: its files are not seen from here.
            self._meta.pop("artifacts", None)
        self._metrics: dict[str, Any] = dict(self._meta.get("metrics") or {})
        self._names = MetricNames(self._heard)
        self._names.patterns = metrics.patterns_of(self._metrics)
        self._summary_values: dict[str, Any] = dict(keeper.attached.summary)
        self.config = Config(
            dict(keeper.attached.config), self._config_changed, strict=bool(place.settings.strict)
        )
        self.summary = Summary(self._summary_values, self._summary_changed)
        self._keep: dict[str, Any] = {}
        self._saves: dict[tuple[str, int, int], int] = {}
        self._state = LIVE
        self._off = False
        self._rung = 0.0
        self._untold = 0

    @guarded(None)
    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,  # noqa: ARG002 - in W&B's signature
        hidden: bool | None = None,  # noqa: ARG002 - as above
        summary: str | None = None,
        goal: str | None = None,
        *_: Any,
        **__: Any,
    ) -> Metric:
        """How `name` is summed up (`last`, `min`, `max`, `first`, `none`; `best` with its `goal`) and which metric is
        its x axis. `mean`, and several with commas between, make a dict of the summary's value, a mean with its
        `count`: {"min": .., "max": ..}. A `*` at the end of the name stands for all that begin so, and have no
        definition of their own. What else W&B takes has no effect.
        """
        name = metrics.name_of(name)
        how = metrics.how_of(summary, goal)
        if summary is not None and how is None:
            cause = f"define_metric({name!r}, summary={notices.shown(summary)}): known are {', '.join(metrics.HOW)}"
            self._misused(f"metric {name}", cause, "last it is", "Pass one of them, or several as 'min,max'")
        axis = None if step_metric is None else metrics.name_of(step_metric)
        given = {"summary": how, "step_metric": axis}
        self._define({name: {key: value for key, value in given.items() if value}})
        return metrics.Metric(name)

    def _define(self, definitions: dict[str, Any]) -> None:
        self._metrics = {**self._metrics, **definitions}
        self._metrics |= metrics.matched(self._metrics, frozenset(self._names))
        self._names.patterns = metrics.patterns_of(self._metrics)
        self._describe(metrics=self._metrics)

    def _heard(self, names: set[str]) -> None:
        """Names were logged for the first time."""
        new = metrics.matched(self._metrics, names)
        if new:
            self._define(new)

    def update_config(self, values: dict[str, Any]) -> None:
        """What init(config=) passed, over what was inherited: changes are recorded, none is warned of. Ranks pass
        what rank 0 passes: theirs is not recorded again.
        """
        self.config.absorb(values, record=not (self._attached.joined and self._attached.writer))

    def _config_changed(self, new: dict[str, Any], gone: list[str]) -> None:
        self._changed(Kind.CONFIG, new, gone)

    def _summary_changed(self, new: dict[str, Any], gone: list[str]) -> None:
        self._changed(Kind.SUMMARY, new, gone)

    def _changed(self, kind: Kind, new: dict[str, Any], gone: list[str]) -> None:
        if self._off:
            return
        payload = row_codec.pack_map({"set": new, "unset": gone}, row_codec.told)
        if payload is not None:
            with self._lock:
                self._beside(kind, payload)
        elif self._place.settings.strict:
            raise RecordLostError("A change was too large for a record. Use save() for such data.")

    def _describe(self, **changes: Any) -> None:
        self._meta.update(changes)
        payload = None if self._off else row_codec.pack_map(changes)
        if payload is not None:
            with self._lock:
                self._beside(Kind.META, payload)

    def _snapshot(self) -> bytes | None:
        view = {"config": self.config.recorded(), "summary": self._summary_values, "meta": self._meta}
        return snapshot.packed({**view, "last_step": self.last_step})

    def _unusual(self, data: Any, called: str = "log") -> dict[str, Any] | None:
        """What to log instead of an argument that is no dict, or None in a run that takes nothing more."""
        if self._stop:
            raise Superseded(
                f"Another attempt took run {self.path} over. Start again to continue from its history."
            )
        if self._state == FORKED:
            cause = f"{called}() in a forked child is dropped"
            opener = f"the process that opened {self.path}"
            self._misused("forked", cause, f"call it in {opener}", f"Call it in {opener}")
        elif self._state == FINISHED:
            cause = f"run {self.path} is finished, and {called}() is dropped"
            self._misused("finished", cause, "call init() again", "Call init() again")
        if self._off:
            return None
        try:
            if hasattr(data, "keys"):
                return dict(data)
        except Exception as error:  # noqa: BLE001 - whatever a foreign mapping raises, it is no row
            cause = f"log() could not read its argument: {notices.shown(error, 200)}"
            self._misused("mapping", cause, "the call is ignored", "Pass a dict")
            return None
        cause = f"log() takes a dict of values, not {type(data).__name__}"
        self._misused("not-a-dict", cause, "the call is ignored", "Pass {'name': value}")
        return None

    def _in_passing(self, row: dict[str, Any], at: int, flags: int, now: float) -> None:
        """After a row, once in a while: look at the socket, and let people know that a resumed run repeats
        what was there.
        """
        self._upkeep(now)
        if not self._untold:
            return
        named = bool(flags & EXPLICIT_STEP)
        text = retelling.line_of(self._attached, self.path, self._metrics, row, at, named=named)
        self._untold = self._untold - 1 if text is None else 0
        if text:
            notices.line(text)
        elif self._untold:
            self._rung = inf  # look at the next row, however soon it comes

    def _upkeep(self, now: float, *, urgent: bool = False) -> None:
        self._rung = now
        if self._keeper.tether is not None and not self._off:
            self._keeper.tether.upkeep(urgent=urgent)
        elif self._keeper.watch is not None and not self._off:
            self._keeper.watch.turn(moved=self._last_step != NO_STEP)
