"""What a run can be told to look at, and to tell people: watch() and alert()."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from respool import notices
from respool.guard import guarded
from respool.run_files import RunFiles

if TYPE_CHECKING:
    from respool.watching import Watch


class RunInstruments(RunFiles):
    """`alert`, `watch` and `unwatch`."""

    _watches: tuple[Watch, ...] = ()

    def _label(self, *_: Any, **__: Any) -> None:
        """W&B's integrations say here what they are; nothing is kept of it."""

    @guarded(None)
    def alert(self, title: str, text: str, level: Any = None, wait_duration: Any = None) -> None:
        """Record an alert: `respool show` prints it, the hub keeps the newest hundred of a run. It is as durable
        as a row when this returns. Further ones of one title are dropped for `wait_duration` (seconds or a
        timedelta; a minute unless given). Nobody is sent a message.
        """
        from respool import alerts  # noqa: PLC0415 - most runs raise none

        found = alerts.raised(self._meta.get("alerts"), title, text, level, wait_duration, time())
        if found is not None and not self._off:
            self._meta["alerts"] = found
            self._describe(alerts=found)
            self._upkeep(time(), urgent=True)

    @guarded(None)
    def watch(
        self,
        models: Any,
        criterion: Any = None,  # noqa: ARG002 - W&B's signature
        log: str | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Log histograms of a torch model's "gradients", "parameters" or "all" at every `log_freq`-th pass, as
        rows of the present step. `criterion` has no effect; the graph is not kept.
        """
        from respool import watching  # noqa: PLC0415 - most runs watch nothing

        if log not in watching.LOGS:
            cause = f"watch(log={notices.shown(log, 40)}): known are gradients, parameters, all, None"
            self._misused("watch log", cause, "nothing is watched", "Pass one of them")
            return
        if log_graph:
            cause = "watch(log_graph=True): the graph of a model is not kept"
            self._misused("watch graph", cause, "the rest is watched", "Leave log_graph out")
        if self._off:
            return
        for model in watching.models_of(models):
            at = len(self._watches) if idx is None else idx
            watched = watching.Watch(model, self._log_beside, log, log_freq, f"graph_{at}" if at else "")
            self._watches = (*self._watches, watched)

    @guarded(None)
    def unwatch(self, models: Any = None) -> None:
        """Stop watching these models, or all."""
        given = [models] if models is not None and not isinstance(models, (list, tuple)) else models
        for watched in self._watches:
            if given is None or any(watched.model is one for one in given):
                watched.remove()
                self._watches = tuple(one for one in self._watches if one is not watched)

    def _log_beside(self, row: dict[str, Any]) -> None:
        """Log a row of the present step that does not end it."""
        raise NotImplementedError
