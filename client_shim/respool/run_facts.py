"""What a run is called and where it is: the read-only half of `Run`."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from respool import notices, texts
from respool.settings import Settings
from respool.wire.frames import NO_STEP
from respool.wire.messages import Attached


class Place(NamedTuple):
    """What does not change while a Run lives. `folder`: where respool/ lies; `spool`: the folder of the local
    spool, used when no daemon answers. `watched`: what is kept beside the rows, of console, system, about, git.
    """

    folder: str
    spool: str
    mode: str
    settings: Settings
    on_superseded: str = "warn"
    watched: frozenset[str] = frozenset()


class RunFacts:
    """Names and places. All answered from memory, with no daemon and no hub asked."""

    # Of the class while they are what they mostly are. Python keeps the attributes of an instance in its fast,
    # shared layout up to thirty of them, and log() reads a dozen.
    superseded: bool = False
    """Whether another attempt took this run over. What is logged from then on stays on this attempt."""
    sweep_id: str | None = None

    def __init__(self, attached: Attached, place: Place, start_time: float) -> None:
        self._attached = attached
        self._place = place
        self._meta: dict[str, Any] = dict(attached.meta)
        self._step = attached.step
        self._last_step = NO_STEP
        self._started = start_time

    @property
    def id(self) -> str:
        """The run id, in its one spelling."""
        return self._attached.run_id

    @property
    def project(self) -> str:
        """The project's name."""
        return self._attached.project

    @property
    def entity(self) -> str:
        """The entity that the hub named, or an empty string before it did."""
        return self._attached.entity or ""

    @property
    def path(self) -> str:
        """[entity/]project/run_id."""
        return "/".join(part for part in (self.entity, self.project, self.id) if part)

    @property
    def attempt_id(self) -> str:
        """The id of this attempt: this life of the run."""
        return self._attached.attempt_id

    @property
    def attempt(self) -> int | None:
        """The attempt's number at the hub, None when it was not reached."""
        return self._attached.number

    @property
    def resumed(self) -> bool:
        """Whether this attempt continues an earlier one."""
        return self._attached.resumed

    @property
    def resumed_unknown(self) -> bool:
        """Whether a run was to be continued that nobody who could be asked knows."""
        return self._attached.unknown

    @property
    def starting_step(self) -> int:
        """The first step of this attempt: the last one of the history it continues, plus one."""
        return self._attached.step

    @property
    def step(self) -> int:
        """The step that the next log() without `step` will use."""
        return self._step

    @property
    def last_step(self) -> int | None:
        """The greatest step that this attempt logged, None before its first row."""
        return None if self._last_step == NO_STEP else self._last_step

    @property
    def url(self) -> str | None:
        """Where the hub shows the run, None when it was not reached."""
        return self._attached.url

    def get_url(self) -> str | None:
        """The same; what W&B called it."""
        return self.url

    @property
    def dir(self) -> str:
        """A folder for this run's files; made when first asked for, or warned of when it cannot be."""
        path = self._folder
        try:
            if self._place.mode != "disabled":
                os.makedirs(path, exist_ok=True)
        except OSError as error:
            notices.warn("dir", f"{path} cannot be made ({error.strerror}); pass another dir= to init().")
        return path

    @property
    def _folder(self) -> str:
        return os.path.join(self._place.folder, "respool", "runs", self.id)

    @property
    def start_time(self) -> float:
        """When this attempt began, in seconds since the epoch."""
        return self._started

    @property
    def name(self) -> str:
        """The run's name; its id when nobody named it."""
        return str(self._meta.get("name") or self.id)

    @name.setter
    def name(self, value: str | None) -> None:
        self.set_meta(name=value)

    @property
    def notes(self) -> str:
        """The run's notes."""
        return str(self._meta.get("notes") or "")

    @notes.setter
    def notes(self, value: str | None) -> None:
        self.set_meta(notes=value)

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags."""
        return tuple(self._meta.get("tags") or ())

    @tags.setter
    def tags(self, value: Any) -> None:
        self.set_meta(tags=value)

    @property
    def group(self) -> str:
        """The run's group."""
        return str(self._meta.get("group") or "")

    @property
    def job_type(self) -> str:
        """The run's job type."""
        return str(self._meta.get("job_type") or "")

    @property
    def disabled(self) -> bool:
        """Whether nothing at all is kept."""
        return self._place.mode == "disabled"

    @property
    def offline(self) -> bool:
        """Whether this run writes to the spool with no daemon, as it was asked to."""
        return self._place.mode == "spool"

    @property
    def settings(self) -> Settings:
        """What init(settings=) was given."""
        return self._place.settings

    def project_name(self) -> str:
        """The project's name."""
        return self.project

    def set_meta(self, **changes: Any) -> None:
        """Change name, notes, tags, group or job_type. What cannot be used is warned of and left as it was."""
        usable = texts.renamed(changes, strict=bool(self._place.settings.strict))
        if usable:
            self._describe(**usable)

    def _misused(self, kind: str, cause: str, instead: str, advice: str) -> None:
        """See notices.misused."""
        notices.misused(kind, cause, instead, advice, strict=bool(self._place.settings.strict))

    def _describe(self, **changes: Any) -> None:
        self._meta.update(changes)
