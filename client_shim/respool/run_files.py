"""The files of a run: keeping versions of them, and getting them back."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING, Any, BinaryIO

from respool import notices, restoring, row_codec, row_media, saving
from respool.blobs import SnapshotError
from respool.errors import RecordLostError
from respool.guard import guarded
from respool.later_versions import LaterVersions, stamp_at
from respool.run_records import RunRecords
from respool.wire import codec
from respool.wire.file_messages import Changed, Watch, Watched
from respool.wire.frames import Kind

if TYPE_CHECKING:
    from respool.keeper import Keeper
    from respool.run_facts import Place


class RunFiles(RunRecords):
    """`save` and `restore`."""

    def __init__(self, keeper: Keeper, place: Place) -> None:
        super().__init__(keeper, place)
        self._later = LaterVersions()

    def _summary_changed(self, new: dict[str, Any], gone: list[str]) -> None:
        if row_media.holds(new) and not self._off:
            new = self._with_references(new)
            self._summary_values.update(new)
        super()._summary_changed(new, gone)

    @guarded(False)
    def save(
        self, glob_str: Any = None, base_path: Any = None, policy: str = "live", *, glob: bool = True
    ) -> list[str] | bool:
        """Keep a version of each file that a path or pattern means, as it is now. Waits for one copy of its bytes
        (a reflink where the file system has it). Returns the paths kept; False when there is none, which is
        warned of.

        `policy`: "now" keeps this version and no other. "end" also keeps the file as it is when the run ends.
        "live" also keeps later versions meanwhile: those that nobody has written to for two seconds while this process
        lived. A daemon of the same user watches for them; else they are seen when the script calls `log` or `save`.
        """
        if self._off or glob_str is None:
            self._unusual({}, "save")
            return False
        if policy not in saving.POLICIES:
            cause = f"save(policy={notices.shown(policy)}): known are live, now, end"
            self._misused("policy", cause, "the file is kept now", "Pass one of them")
        if isinstance(glob_str, (list, tuple)):
            each = [self.save(one, base_path, policy, glob=glob) for one in glob_str if one is not None]
            return [path for found in each if isinstance(found, list) for path in found] or False
        pattern = os.fsdecode(glob_str)
        base = None if base_path is None else os.fsdecode(base_path)
        found = saving.matches(pattern, literal=not glob)
        if not found:
            cause = f"save({pattern!r}) matches no file"
            self._misused(f"save {pattern}", cause, "nothing was kept", "Name a file that is there")
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

    def _with_references(self, row: dict[Any, Any], step: Any = None) -> dict[Any, Any]:
        """A copy of a row whose media are kept as files of its step."""
        from respool.media.binding import bound  # noqa: PLC0415 - a row that holds media has loaded the package

        at = None if step is None else row_codec.step_of(step)
        return bound(row, self._keep_as, self._step if at is None else at)

    def _upkeep(self, now: float, *, urgent: bool = False) -> None:
        super()._upkeep(now, urgent=urgent)
        if not self._later or self._off:
            return
        self._hear_of_files()
        tether = self._keeper.tether
        due = self._later.due(now, attended=tether is not None and tether.attached)
        if due is not None:
            begin = monotonic()
            self._keep_as(due.path, due.name, None, due.policy)
            self._later.took(monotonic() - begin, now)

    def _hear_of_files(self) -> None:
        """What the daemon snapshotted meanwhile is a version now. One that came back is told what to watch."""
        tether = self._keeper.tether
        if tether is None:
            return
        for wish in self._later.forgotten(tether.returns):
            tether.say(wish)
        for news in _taken(tether.news):
            if isinstance(news, Watched):
                self._later.watched(news.names)
            else:
                self._keep_changed(news)

    def _keep_changed(self, news: Changed) -> None:
        policy = self._later.changed(news)
        if policy is not None:
            record = {**news.file, "name": news.name, "blob": news.token, "policy": policy}
            with self._lock:
                self._beside(Kind.FILE, codec.pack(record), self._last_step)

    def _keep_last(self, exit_code: int) -> None:
        """The run ends: keep what changed since it was saved, but nothing that may be half written."""
        if not self._later:
            return
        self._hear_of_files()
        keep, doubtful = self._later.last(time(), torn=exit_code != 0)
        for one in keep:
            with suppress(RecordLostError):  # warned of already; the run must still end
                self._keep_as(one.path, one.name, None, one.policy)
        if doubtful:
            names = ", ".join(one.name for one in doubtful[:3]) + (" ..." if len(doubtful) > 3 else "")
            notices.line(
                f"not kept again: {names}, which may have been half written when the script ended by an error."
            )

    def _save_one(self, path: str, base: str | None, policy: str) -> bool:
        return self._keep_as(path, saving.name_in_run(path, base, self._folder), None, policy)

    def _keep_as(self, path: str, name: str, step: int | None = None, policy: str = "now") -> bool:
        """Commit a version of the file `name` of this run. `step`: the row it belongs to, else the last one's."""
        try:
            saved = saving.take(path, name, policy, self._keeper.room.grant)
        except SnapshotError as error:
            if policy in saving.POLICIES:
                self._tell(self._later.saved(path, name, policy, stamp_at(path)))
            shown = name if path.startswith("/proc/self/fd/") else path
            saving.complain(shown, error)
            if self._place.settings.strict:
                raise RecordLostError(
                    f"save({shown!r}): {error}. Free space, or save another file."
                ) from error
            return False
        wish = None
        if policy in saving.POLICIES:
            wish = self._later.saved(path, name, policy, saved.stamp, saved.token)
        with self._lock:
            at = self._last_step if step is None else step
            kept = self._beside(Kind.FILE, codec.pack(saved.record), at)
        self._tell(wish)
        return kept

    def _tell(self, wish: Watch | None) -> None:
        if wish is not None and self._keeper.tether is not None:
            self._keeper.tether.say(wish)


def _taken(news: deque[Watched | Changed]) -> Iterator[Watched | Changed]:
    """One after the other, each by one thread."""
    with suppress(IndexError):
        while True:
            yield news.popleft()
