"""A run, as the Api sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from respool import notices
from respool.apis.file import File
from respool.apis.hub import Hub, file_url, run_url
from respool.apis.rows import flattened, framed, spread
from respool.compat import absent
from respool.errors import NotFoundError

_LOAD = frozenset({"system", "events"})


class Summary(dict[str, Any]):
    """A run's summary, read only: changes are not sent."""

    @property
    def _json_dict(self) -> dict[str, Any]:
        """The plain dict, by the name W&B's own examples use."""
        return dict(self)

    def update(self, *_: Any, **__: Any) -> None:
        """Has no effect but a warning: a summary is what the run logged."""
        notices.warn("api summary", "a summary is what the run logged; it cannot be changed through the Api.")


class Run:
    """One run. `config`, `summary` and what else a list does not hold are asked for when first used. `name`,
    `notes` and `tags` may be set, and update() sends them; they stay when the run is resumed.
    """

    def __init__(self, hub: Hub, found: dict[str, Any]) -> None:
        self._hub = hub
        self._full = found if "config" in found else None
        self._brief = found
        self._config: dict[str, Any] | None = None
        self.name: str = str(found.get("name"))
        self.notes: str = str(found.get("notes") or "")
        self.tags: list[str] = list(found.get("tags") or [])

    @property
    def id(self) -> str:
        """The run id."""
        return str(self._brief["run_id"])

    @property
    def entity(self) -> str:
        """Whose it is."""
        return str(self._brief["entity"])

    @property
    def project(self) -> str:
        """The project's name."""
        return str(self._brief["project"])

    @property
    def path(self) -> list[str]:
        """[entity, project, id]."""
        return [self.entity, self.project, self.id]

    @property
    def state(self) -> str:
        """running, silent, preempting, preempted, finished, failed, crashed."""
        return str(self._brief.get("state"))

    @property
    def url(self) -> str | None:
        """Where the hub shows it."""
        return self._brief.get("url")

    @property
    def created_at(self) -> str:
        """When it began, as ISO 8601 in UTC."""
        return datetime.fromtimestamp(float(self._brief.get("created_at") or 0.0), UTC).isoformat()

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802 - W&B's name
        """The last step of its history, -1 without rows."""
        step = self._brief.get("last_step")
        return -1 if step is None else int(step)

    @property
    def config(self) -> dict[str, Any]:
        """What it was started with, without W&B's own keys. Changes are not sent."""
        if self._config is None:
            found = self._all().get("config") or {}
            self._config = {key: value for key, value in found.items() if not key.startswith("_wandb")}
        return self._config

    @property
    def rawconfig(self) -> dict[str, Any]:
        """The whole config."""
        return dict(self._all().get("config") or {})

    @property
    def summary(self) -> Summary:
        """The last value of each metric, or what the script said instead."""
        return Summary(self._all().get("summary") or {})

    @property
    def summary_metrics(self) -> dict[str, Any]:
        """The same, by another of W&B's names."""
        return self.summary

    @property
    def metadata(self) -> dict[str, Any]:
        """Group, job type and what else the run is called by; `attempts`: each life of it."""
        found = self._all()
        return {**(found.get("meta") or {}), "attempts": found.get("attempts") or []}

    @property
    def group(self) -> str:
        """Its group."""
        return str(self.metadata.get("group") or "")

    @property
    def job_type(self) -> str:
        """Its job type."""
        return str(self.metadata.get("job_type") or "")

    def history(
        self,
        samples: int = 500,
        keys: list[str] | None = None,
        x_axis: str = "_step",  # noqa: ARG002 - W&B's signature
        pandas: bool = True,
        stream: str = "default",
    ) -> Any:
        """At most `samples` rows, evenly spread, each with `_step`, `_timestamp`, `_runtime`; with `keys` those rows
        that have all of them. `stream` "system" or "events": the load of its processes and their machine instead, as
        `system.cpu`. A DataFrame if pandas is installed and wanted, else a list of dicts.
        """
        rows = spread(self._load(keys) if stream in _LOAD else self.scan_history(keys), samples)
        return framed(rows) if pandas else rows

    def scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,  # noqa: ARG002 - W&B's signature: rows are streamed here
        min_step: int = 0,
        max_step: int | None = None,
        use_cache: bool = True,  # noqa: ARG002 - as above
    ) -> Iterator[dict[str, Any]]:
        """Every row, by step, as it comes from the hub; with `keys` those that have all of them. Steps from
        `min_step` on, below `max_step`.
        """
        below = None if max_step is None else max_step - 1
        asked = ",".join(keys) if keys and not any("," in key for key in keys) else None
        query = {"keys": asked, "min_step": min_step or None, "max_step": below}
        for row in self._hub.lines(self._url("history"), **query):
            if not keys:
                yield row
            elif all(key in row for key in keys):
                yield {key: row[key] for key in keys}

    def _load(self, keys: list[str] | None) -> Iterator[dict[str, Any]]:
        for sample in self._hub.lines(self._url("beside", "system")):
            row = dict(flattened(sample))
            if all(key in row for key in keys or ()):
                yield {key: row[key] for key in keys} if keys else row

    def files(
        self,
        names: list[str] | None = None,
        pattern: str | None = None,
        per_page: int = 50,  # noqa: ARG002 - W&B's signature
    ) -> list[File]:
        """The newest version of each file, or of those named; `pattern` as in SQL, % and _."""
        url = self._url()
        found = [File(self._hub, url, one) for one in self._hub.get(self._url("files")).get("files", [])]
        if names:
            found = [file for file in found if file.name in names]
        if pattern is not None:
            like = pattern.replace("%", "*").replace("_", "?")
            found = [file for file in found if fnmatchcase(file.name, like)]
        return found

    def file(self, name: str) -> File:
        """One file by its name. Raises FileNotFoundError."""
        for file in self.files([name]):
            return file
        raise NotFoundError(f"Run {'/'.join(self.path)} has no file {name!r}. List them: run.files().")

    def logged_artifacts(self, per_page: int = 100) -> list[Any]:  # noqa: ARG002 - W&B's signature
        """The artifacts it logged, every version of each."""
        from respool.artifacts.remote import logged_by  # noqa: PLC0415 - only for who asks

        found: list[Any] = logged_by(self)
        return found

    @property
    def artifact_index(self) -> dict[str, Any]:
        """The newest version and the aliases of each artifact that it logged."""
        return dict(self._brief.get("artifacts") or {})

    def fetch(self, name: str, target: str) -> None:
        """Copy the newest version of a file to a path. Raises FileNotFoundError."""
        with open(target, "wb") as file:
            self._hub.fetch(self._url("files", file_url(name)), file)

    def load(self, force: bool = False) -> dict[str, Any]:  # noqa: ARG002 - W&B's signature
        """Ask the hub for it again."""
        self._full = self._brief = self._hub.get(self._url())
        self._config = None
        return self._full

    def update(self) -> None:
        """Send name, notes and tags to the hub, durably. Raises CommError to who does not own the run."""
        before = self._all()
        if self._config is not None and self._config != {
            key: before["config"].get(key) for key in self._config
        }:
            notices.warn("api config", "a config is what the run was started with; its change is not sent.")
        changes = {"name": self.name, "notes": self.notes, "tags": list(self.tags)}
        if self.name == self.id:
            del changes["name"]
        self._full = self._brief = self._hub.ask("PATCH", self._url(), changes)

    save = update

    def delete(self, delete_artifacts: bool = False) -> None:  # noqa: ARG002 - W&B's signature: files go too
        """Delete the run with everything of it."""
        self._hub.ask("DELETE", self._url())

    def _all(self) -> dict[str, Any]:
        if self._full is None:
            self._full = self._hub.get(self._url())
        return self._full

    def _url(self, *rest: str) -> str:
        return run_url(self.entity, self.project, self.id, *rest)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return absent(f"Api().run().{name}")

    def __repr__(self) -> str:
        return f"<respool run {'/'.join(self.path)} ({self.state})>"
