"""The fold: what an attempt amounts to, record by record.

`View.apply` is the one place that knows what each record means for step, config, summary, files and end.
The daemon answers a resume with it, the shim resumes its own spool with it, the hub keeps one per attempt.

Rules: `last_step` is the greatest step of any row; a summary key holds its last value, or what
`define_metric(summary=)` asks for; a SNAPSHOT replaces config, summary and meta by the writer's whole view;
`axes` says how far the rows got (`respool.wire.axes`), from where on an axis is defined; `firsts` at which step the
first value came of each metric that is summed up by it; `about` is what the attempt was started with, which no later
attempt inherits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from respool.wire import codec
from respool.wire.axes import KNOWN, Axis, advance, names_of
from respool.wire.errors import WireError
from respool.wire.frames import EXPLICIT_STEP, NO_STEP, Frame, Kind
from respool.wire.limits import MAX_ALERTS
from respool.wire.summing import merge_summary, number, takes_first


class View:
    """The state that a sequence of one attempt's frames leads to. `last_step` is NO_STEP without rows.
    `named`: the script named the step of a row. `preempting`:
    the script marked itself; `noticed`: the source of a notice that it caught itself, "" for none.
    """

    __slots__ = (
        "_axis_names",
        "_first_names",
        "about",
        "at_exit",
        "axes",
        "config",
        "cut",
        "exit_code",
        "explicit",
        "files",
        "first_steps",
        "firsts",
        "last_step",
        "lost",
        "meta",
        "named",
        "noticed",
        "preempting",
        "rows",
        "state",
        "summary",
    )

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.meta: dict[str, Any] = {}
        self.last_step = NO_STEP
        self.named = False
        self.first_steps: list[int] = []
        self.rows = 0
        self.lost = 0
        self.cut: int | None = None
        self.preempting = False
        self.noticed = ""
        self.state: str | None = None
        self.exit_code: int | None = None
        self.explicit = False
        self.at_exit = False
        self.files: dict[str, dict[str, Any]] = {}
        self.axes: dict[str, Axis] = {}
        self.about: dict[str, Any] = {}
        self.firsts: dict[str, int] = {}
        self._axis_names = KNOWN
        self._first_names: frozenset[str] = frozenset()

    def apply(self, frame: Frame) -> None:
        """Take one frame. Payloads that are not what their kind says are passed over: they are still kept."""
        if frame.kind == Kind.LOSS:
            self.lost += frame.span
            return
        handler = _HANDLERS.get(frame.kind)
        if handler is not None:
            try:
                value = codec.unpack_map(frame.payload)
            except WireError:
                return
            handler(self, value, frame)

    def facts(self) -> dict[str, Any]:
        """What is left of this view when the records it came from are deleted; plain values."""
        return {name: getattr(self, name) for name in _FACTS} | {"first_steps": list(self.first_steps)}

    def take_facts(self, facts: dict[str, Any]) -> None:
        """Start from what `facts` said."""
        for name in _FACTS:
            if name in facts:
                setattr(self, name, facts[name])
        self.first_steps = list(self.first_steps)

    @property
    def axis_names(self) -> frozenset[str]:
        """The metrics that may be axes."""
        return self._axis_names

    def take_meta(self, meta: dict[str, Any]) -> None:
        """What the run is called and how its metrics are defined is now `meta`."""
        self.meta = meta
        metrics = _map(meta.get("metrics"))
        self._axis_names = names_of(metrics)
        self._first_names = frozenset(
            key for key in metrics if takes_first(_map(metrics[key]).get("summary"))
        )

    def _row(self, row: dict[str, Any], frame: Frame) -> None:
        advance(self.axes, self._axis_names, row, frame)
        self.rows += 1
        self.last_step = max(self.last_step, frame.step)
        self.named = self.named or bool(frame.flags & EXPLICIT_STEP)
        if len(self.first_steps) < 2:
            self.first_steps.append(frame.step)
        if self._first_names:
            for key in self._first_names.intersection(row):
                self.firsts.setdefault(key, frame.step)
        merge_summary(self.summary, row, self.meta.get("metrics"))

    def _config(self, value: dict[str, Any], _: Frame) -> None:
        self.config.update(_map(value.get("set")))
        for key in _names(value.get("unset")):
            self.config.pop(key, None)

    def _summary(self, value: dict[str, Any], _: Frame) -> None:
        self.summary.update(_map(value.get("set")))
        for key in _names(value.get("unset")):
            self.summary.pop(key, None)

    def _state(self, value: dict[str, Any], _: Frame) -> None:
        if value.get("state") == "preempting":
            source = value.get("source")
            self.preempting = self.preempting or not source
            self.noticed = source if isinstance(source, str) else self.noticed
        elif value.get("state") == "ended":
            self.state = "ended"
            code = value.get("exit_code")
            self.exit_code = code if isinstance(code, int) else None
            self.explicit = value.get("reason") == "finish"
            self.at_exit = value.get("reason") == "exit"

    def _cut(self, value: dict[str, Any], _: Frame) -> None:
        if isinstance(value.get("step"), int):
            self.cut = value["step"]

    def _file(self, value: dict[str, Any], frame: Frame) -> None:
        if isinstance(value.get("name"), str):
            self.files[value["name"]] = {**value, "seq": frame.seq, "step": frame.step, "time": frame.time}

    def _snapshot(self, value: dict[str, Any], _: Frame) -> None:
        self.config = dict(_map(value.get("config")))
        self.summary = dict(_map(value.get("summary")))
        self.take_meta(dict(_map(value.get("meta"))))
        step = value.get("last_step")
        if isinstance(step, int):
            self.last_step = max(self.last_step, step)

    def _meta(self, value: dict[str, Any], _: Frame) -> None:
        # The list of packages is long and asked for by few: it stays in its record.
        value.pop("packages", None)
        self.about.update(_map(value.pop("about", None)))
        metrics = {**_map(self.meta.get("metrics")), **_map(value.get("metrics"))}
        alerts = merge_alerts(self.meta.get("alerts"), value.get("alerts"))
        artifacts = {**_map(self.meta.get("artifacts")), **_map(value.get("artifacts"))}
        self.meta.update(value)
        if alerts:
            self.meta["alerts"] = alerts
        if artifacts:
            self.meta["artifacts"] = artifacts
        if metrics:
            self.take_meta({**self.meta, "metrics": metrics})


_FACTS = (
    "rows",
    "lost",
    "last_step",
    "first_steps",
    "cut",
    "preempting",
    "noticed",
    "state",
    "exit_code",
    "explicit",
    "at_exit",
)

_HANDLERS: dict[int, Callable[[View, dict[str, Any], Frame], None]] = {
    Kind.ROW: View._row,
    Kind.CONFIG: View._config,
    Kind.SUMMARY: View._summary,
    Kind.STATE: View._state,
    Kind.CUT: View._cut,
    Kind.FILE: View._file,
    Kind.SNAPSHOT: View._snapshot,
    Kind.META: View._meta,
}


def merge_alerts(known: Any, new: Any) -> list[dict[str, Any]]:
    """Two lists of alerts as one, by their time, each once: several writers of a run may raise them."""
    every = [one for side in (known, new) if isinstance(side, list) for one in side if isinstance(one, dict)]
    found = {(str(one.get("time")), str(one.get("title"))): one for one in every}
    return sorted(found.values(), key=_time_of)[-MAX_ALERTS:]


def _time_of(alert: dict[str, Any]) -> float:
    at = alert.get("time")
    return float(at) if isinstance(at, (int, float)) and number(at) else 0.0


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: Any) -> list[str]:
    return [key for key in value if isinstance(key, str)] if isinstance(value, list) else []
