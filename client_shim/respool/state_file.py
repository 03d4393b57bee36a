"""The state file: which run a script that says resume="auto" left behind in this folder.

`DIR/respool/respool-resume.json`, with the array index in the name inside a job array, so that no two tasks
write one file. It holds the newest run as one object {"run_id", "project", "entity", "program",
"array_index", "process": {"boot_id", "pid", "start_time"}, "node", "launch"}, and under "others" the runs of other
programs and projects of the same folder, which a side run must not make forget.

Every write is a whole new file, synced, renamed. A run's entry goes only when that run finishes with exit 0.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from respool import notices
from respool.process import alive
from respool.wire.attempt import Request
from respool.wire.identity import Process
from respool.wire.messages import Attached

NAME = "respool-resume"
_OTHERS = 63


class Key(NamedTuple):
    """What must be equal for a run to be continued."""

    program: str
    project: str
    array_index: str


class StateFile:
    """The state file of `folder` as one key sees it. A file that cannot be read or written is a warning."""

    def __init__(self, folder: str, key: Key) -> None:
        index = "".join(letter if letter.isalnum() else "-" for letter in key.array_index)
        self.path = os.path.join(folder, f"{NAME}-{index}.json" if index else f"{NAME}.json")
        self.key = key

    def find(self, launch: str) -> str:
        """The id of the run to continue, or an empty string: same key, and its process is not alive here, unless
        it is of this very launch, in which case there is a run to join.
        """
        for entry in self._read():
            if _key(entry) == self.key:
                taken = alive(_process(entry)) and entry.get("launch") != launch
                return "" if taken else str(entry["run_id"])
        return ""

    def claim(self, attached: Attached, request: Request) -> None:
        """Write down that this process runs the run it was attached to, unless another living one holds the key."""
        entries = self._read()
        held = [entry for entry in entries if _key(entry) == self.key and alive(_process(entry))]
        if any(_process(entry) != request.process for entry in held):
            return
        mine = {"run_id": attached.run_id, "entity": attached.entity, **self.key._asdict()}
        mine |= {"process": request.process._asdict(), "node": request.node, "launch": request.launch}
        self._write([mine, *(entry for entry in entries if _key(entry) != self.key)])

    def release(self, run_id: str) -> None:
        """Forget `run_id`: it finished. Entries of other runs stay."""
        entries = self._read()
        left = [entry for entry in entries if entry["run_id"] != run_id or _key(entry) != self.key]
        if len(left) != len(entries):
            self._write(left)

    def _read(self) -> list[dict[str, Any]]:
        try:
            with open(self.path, encoding="utf-8") as file:
                newest = json.load(file)
            entries = [newest, *(newest.get("others") or ())]
            return [_checked(entry) for entry in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            notices.warn("state-file", f"{self.path} cannot be read ({error.strerror}); a new run begins.")
        except (ValueError, KeyError, TypeError, AttributeError):
            notices.warn("state-file", f"{self.path} is damaged; a new run begins and replaces it.")
        return []

    def _write(self, entries: list[dict[str, Any]]) -> None:
        try:
            if entries:
                first, *others = (dict(entry) for entry in entries)
                replace_file(self.path, json.dumps({**first, "others": others[:_OTHERS]}).encode())
            elif os.path.exists(self.path):
                os.unlink(self.path)
        except OSError as error:
            text = f"{self.path} cannot be written ({error.strerror}): resume='auto' will not find this run."
            notices.warn("state-file", text)


def replace_file(path: str, data: bytes) -> None:
    """Put `data` at `path` atomically and durably: written aside, synced, renamed, folder synced."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    aside = f"{path}.{os.getpid()}-{os.urandom(3).hex()}.tmp"  # another node may have this pid
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(aside, path)
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    entry = {name: value for name, value in entry.items() if name != "others"}
    texts = (entry["run_id"], entry["program"], entry["project"], entry["array_index"])
    if not all(isinstance(text, str) for text in texts) or not entry["run_id"]:
        raise ValueError(entry)
    _process(entry)
    return entry


def _key(entry: dict[str, Any]) -> Key:
    return Key(entry["program"], entry["project"], entry["array_index"])


def _process(entry: dict[str, Any]) -> Process:
    found = entry["process"]
    return Process(str(found["boot_id"]), int(found["pid"]), int(found["start_time"]))
