"""The embedded blob store: a folder of files named by their BLAKE3.

    blobs/ab/abcdef...   a blob, never changed
    blobs/tmp/abc....xy  an upload under way; what is found there at start was interrupted
    blobs/begun/abc...   the beginning of an upload that was interrupted, which the next one goes on with
    blobs/doomed/abc...  a blob that is being swept; what is found there at start is put back
    blobs/damaged/abc... what a disk made of a blob; nothing reads it again, and it may be deleted

An upload is hashed while it is written, synced, renamed to its digest, and the folder is synced: after
commit() it survives a power cut, before it nobody can see it.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from blake3 import blake3

from respool_hub.store.folder_upload import FolderUpload
from respool_hub.store.ports import StoreFullError

WHOLE = 16 << 20
"""Bytes up to which an upload that a kill interrupted is looked at again: chunks, not whole files."""

PIECE = 1 << 20

FREE_FLOOR = 64 << 20
"""Bytes that are left free on the disk: the database beside the blobs must still be able to write."""


class FolderBlobs:
    """See `respool_hub.store.ports.Blobs`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._temporary = os.path.join(folder, "tmp")
        self._begun = os.path.join(folder, "begun")
        for each in (self._temporary, self._begun):
            os.makedirs(each, mode=0o700, exist_ok=True)
        for name in os.listdir(self._temporary):
            self._take_up(name)
        self._doomed = os.path.join(folder, "doomed")
        os.makedirs(self._doomed, mode=0o700, exist_ok=True)
        for name in os.listdir(self._doomed):
            os.rename(os.path.join(self._doomed, name), self._path(name))
        _sync_folder(folder)

    def size(self, digest: str) -> int | None:
        try:
            return os.stat(self._path(digest)).st_size
        except FileNotFoundError:
            return None

    def open(self, digest: str) -> FolderBlob | None:
        try:
            return FolderBlob(self._path(digest))
        except FileNotFoundError:
            return None

    def verify(self, digest: str) -> bool:
        path = self._path(digest)
        try:
            hasher = blake3()
            with open(path, "rb") as file:
                while piece := file.read(PIECE):
                    hasher.update(piece)
            whole = hasher.hexdigest() == digest
        except FileNotFoundError:
            return False
        except OSError:
            whole = False  # what the disk does not give back is as good as lost
        if not whole:
            self._set_aside(path, digest)
        return whole

    def upload(self, expected: int | None, digest: str = "") -> FolderUpload:
        free = os.statvfs(self._folder)
        if (expected or 0) + FREE_FLOOR > free.f_bavail * free.f_frsize:
            raise StoreFullError(f"{expected} bytes do not fit on the disk of {self._folder}")
        return FolderUpload(self, self._temporary_of(digest), digest)

    def begun(self, digests: list[str]) -> list[int]:
        return [_size(os.path.join(self._begun, digest)) for digest in digests]

    def resume(self, digest: str, offset: int) -> FolderUpload | None:
        path = self._temporary_of(digest)
        try:
            os.rename(os.path.join(self._begun, digest), path)
        except FileNotFoundError:
            return None
        upload = FolderUpload(self, path, digest)
        if upload.take_up(offset):
            return upload
        upload.abort()
        return None

    def set_by(self, path: str, digest: str) -> None:
        """Keep an interrupted upload, unless more of it lies here already."""
        target = os.path.join(self._begun, digest)
        if digest and _size(target) < _size(path) <= WHOLE:
            os.rename(path, target)
        else:
            os.unlink(path)

    def want(self, digests: list[str]) -> list[int | None]:
        return [self._want(digest) for digest in digests]

    def sweep(self, wanted: set[str], older_than: float) -> tuple[int, int]:
        count = size = 0
        for folder in sorted(name for name in os.listdir(self._folder) if len(name) == 2):
            for digest in os.listdir(os.path.join(self._folder, folder)):
                freed = None if digest in wanted else self._doom(digest, older_than)
                if freed is not None:
                    count, size = count + 1, size + freed
        for digest in os.listdir(self._begun):
            path = os.path.join(self._begun, digest)
            with suppress(FileNotFoundError):  # somebody goes on with it
                if os.stat(path).st_mtime < older_than:
                    os.unlink(path)
        return count, size

    def close(self) -> None:
        """Nothing is held open."""

    def adopt(self, temporary: str, digest: str) -> None:
        """Give a synced file its name, durably."""
        target = self._path(digest)
        folder = os.path.dirname(target)
        if not os.path.isdir(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            _sync_folder(self._folder)
        os.rename(temporary, target)
        _sync_folder(folder)

    def _take_up(self, name: str) -> None:
        """Keep an upload that had wholly come when the hub was killed, so that nobody sends it again, or what had."""
        path, digest = os.path.join(self._temporary, name), name.partition(".")[0]
        with open(path, "rb") as file:
            data = file.read(WHOLE + 1) if digest else b""
            if blake3(data).hexdigest() == digest:
                os.fdatasync(file.fileno())
                self.adopt(path, digest)
                return
        self.set_by(path, digest)

    def _set_aside(self, path: str, digest: str) -> None:
        folder = os.path.join(self._folder, "damaged")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):  # somebody else has found it, too
            os.rename(path, os.path.join(folder, digest))
        _sync_folder(os.path.dirname(path))

    def _want(self, digest: str) -> int | None:
        path = self._path(digest)
        try:
            os.utime(path)
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    def _doom(self, digest: str, older_than: float) -> int | None:
        """Remove a blob unless it is young; its bytes. It is moved away before its age is looked at for the last
        time: who wants it earlier makes it young, who wants it later does not find it and sends it again.
        """
        path, aside = self._path(digest), os.path.join(self._doomed, digest)
        if os.stat(path).st_mtime >= older_than:
            return None
        os.rename(path, aside)
        found = os.stat(aside)
        if found.st_mtime >= older_than:
            os.rename(aside, path)
            return None
        os.unlink(aside)
        return found.st_size

    def _temporary_of(self, digest: str) -> str:
        return os.path.join(self._temporary, f"{digest}.{secrets.token_hex(8)}")

    def _path(self, digest: str) -> str:
        return os.path.join(self._folder, digest[:2], digest)


class FolderBlob:
    """See `respool_hub.store.ports.BlobFile`."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    def seek(self, offset: int) -> None:
        os.lseek(self._fd, offset, os.SEEK_SET)

    def read(self, count: int) -> bytes:
        return os.read(self._fd, count)

    def close(self) -> None:
        os.close(self._fd)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
