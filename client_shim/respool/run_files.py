"""The files of a run: keeping versions of them, and getting them back."""

from __future__ import annotations

import os
from time import time
from typing import Any, BinaryIO

from respool import notices, restoring, saving
from respool.blobs import SnapshotError
from respool.errors import RecordLostError
from respool.guard import guarded
from respool.run_records import RunRecords
from respool.wire import codec
from respool.wire.frames import Kind


class RunFiles(RunRecords):
    """`save` and `restore`."""

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
