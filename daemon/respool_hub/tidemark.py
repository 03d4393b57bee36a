"""Whether the data are those of the last time, or were put back from a backup: then they get a new incarnation.

Signs of a backup: the file beside the database says that the data once went further; or it is another file
(its inode) than the database remembers, since the folder was copied back. `--restored` says it for what shows
neither, such as a snapshot of the whole disk. A folder that moved looks like a copy too, which does no harm:
daemons register their attempts again, and send what is not here.
"""

from __future__ import annotations

import os
import secrets

from respool_hub.store.ports import Store, Transaction
from respool_hub.store.rows import Extent

FILE = "tidemark"
SETTING = "folder"
EVERY = 5.0
"""Seconds between two marks: data that are behind by less show it by their `next_seq` alone."""


class Tidemark:
    """The file beside the database. Nothing is synced: after a power cut an older mark only sees less."""

    def __init__(self, data: str) -> None:
        self._path = os.path.join(data, FILE)
        self._noted: Extent | None = None

    def settle(self, store: Store, restored: bool) -> str:
        """The incarnation of the data, durable when this returns. Raises OSError and StoreError."""
        told, folder = self._look()
        incarnation = store.write(lambda tx: _settled(tx, told, folder, restored)).result()
        self.note(store.read(lambda reader: reader.extent()).result())
        return incarnation

    def note(self, extent: Extent) -> None:
        """How far the data go now. Raises OSError."""
        if extent == self._noted:
            return
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # In place, for the file's inode is a sign; one write of the same length is never seen half.
            os.pwrite(fd, b"%020d %020d\n" % extent, 0)
        finally:
            os.close(fd)
        self._noted = extent

    def _look(self) -> tuple[Extent, str]:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return _parsed(os.pread(fd, 64, 0)), str(os.fstat(fd).st_ino)
        finally:
            os.close(fd)


def _settled(tx: Transaction, told: Extent, folder: str, restored: bool) -> str:
    here, known = tx.extent(), tx.setting(SETTING)
    behind = here.attempts < told.attempts or here.batches < told.batches
    if known != folder:
        tx.put_setting(SETTING, folder)
    if restored or behind or known not in {None, folder}:
        tx.put_setting("incarnation", secrets.token_hex(16))
    return tx.incarnation()


def _parsed(text: bytes) -> Extent:
    parts = text.split()
    good = len(parts) == 2 and all(part.isdigit() for part in parts)
    return Extent(int(parts[0]), int(parts[1])) if good else Extent()
