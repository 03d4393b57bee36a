"""Segments as files: made, found, marked, cut, deleted (`respool.wire.segment` has the format)."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from respool.wire.attempt import QUARANTINE
from respool.wire.errors import UnknownVersionError, WireError
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.segment import (
    DATA,
    NO_MARK,
    Mark,
    SegmentHeader,
    decode_header,
    decode_mark,
    encode_header,
    encode_mark,
    parse_segment_name,
    segment_name,
)
from respoold.io.files import names, sync_directory, write_bytes


def indexes(directory: str) -> dict[int, list[int]]:
    """Writer -> its segments' indexes in order. Files of other names are nobody's; a folder that somebody
    removed has none.
    """
    found: dict[int, list[int]] = {}
    for name in names(directory):
        parsed = parse_segment_name(name)
        if parsed is not None:
            found.setdefault(parsed[0], []).append(parsed[1])
    return {writer: sorted(numbers) for writer, numbers in found.items()}


def create(directory: str, attempt_id: str, writer: int, index: int, size: int = SEGMENT_SIZE) -> int:
    """A new fallocated segment's descriptor, open for reading and writing. Raises OSError (ENOSPC ...).

    Its name is durable on return, so the first record in it needs one fdatasync and nothing more.
    """
    header = encode_header(SegmentHeader(attempt_id, writer, index, time.time()))
    path = os.path.join(directory, segment_name(writer, index))
    part = path + ".part"
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        os.pwrite(fd, header, 0)
        os.fdatasync(fd)
        os.rename(part, path)
        sync_directory(directory)
    except OSError:
        os.close(fd)
        with suppress(OSError):
            os.unlink(part)
        raise
    return fd


def open_existing(directory: str, writer: int, index: int, *, write: bool) -> int:
    """An existing segment. Raises UnknownVersionError for one that a newer release wrote."""
    path = os.path.join(directory, segment_name(writer, index))
    fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        decode_header(os.pread(fd, DATA, 0), path)
    except UnknownVersionError:
        os.close(fd)
        raise
    except WireError:
        pass  # its name and folder say whose it is, and each frame behind the header is checked by itself
    return fd


def read_mark(fd: int) -> Mark:
    """The durable mark of a segment; NO_MARK where there is none."""
    try:
        return decode_mark(os.pread(fd, DATA, 0))
    except OSError:
        return NO_MARK


def write_mark(fd: int, mark: Mark | None) -> None:
    """Write a mark; it becomes durable with the sync that follows (`respool.wire.segment`)."""
    if mark is not None:
        at, data = encode_mark(mark)
        os.pwrite(fd, data, at)


def data_end(fd: int, start: int) -> int:
    """Where the data behind `start` end: a fallocated segment is mostly hole, and reading holes costs as much as
    reading data. Where the file system cannot tell, the end of the file.
    """
    end = start
    try:
        while True:
            end = os.lseek(fd, os.lseek(fd, end, os.SEEK_DATA), os.SEEK_HOLE)
    except OSError as error:
        return end if error.errno == errno.ENXIO else max(start, os.fstat(fd).st_size)


def cut_tail(directory: str, writer: int, index: int, offset: int) -> int:
    """Cut a torn tail; its bytes go to quarantine first. Returns how many there were."""
    path = os.path.join(directory, segment_name(writer, index))
    with open(path, "r+b") as file:
        end = data_end(file.fileno(), offset)
        torn = os.pread(file.fileno(), end - offset, offset).rstrip(b"\0")
        if torn:
            os.makedirs(os.path.join(directory, QUARANTINE), mode=0o700, exist_ok=True)
            write_bytes(os.path.join(directory, QUARANTINE, f"{segment_name(writer, index)}@{offset}"), torn)
        file.truncate(offset)
        os.fdatasync(file.fileno())
    return len(torn)


def delete(directory: str, writer: int, index: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, segment_name(writer, index)))
