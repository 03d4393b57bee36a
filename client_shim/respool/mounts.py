"""What kind of file system a path is on, as the kernel's table of mounts says."""

from __future__ import annotations

import os

TABLE = "/proc/self/mountinfo"
NETWORK = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "virtiofs",
        "wekafs",
    }
)
"""Where others write without our kernel's knowledge: it tells of no changes there."""

FLEETING = frozenset({"tmpfs", "ramfs", "overlay", "aufs", "squashfs"})
"""In memory, or a layer of a container's image."""


def kind_of(path: str, table: str = TABLE) -> str:
    """The type of the file system that `path` is on, such as ext4; empty where the table cannot be read."""
    real = os.path.realpath(path)
    best, found = -1, ""
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                before, _, after = line.partition(" - ")
                fields = before.split(" ")
                point = _plain(fields[4]) if len(fields) > 4 else ""
                if len(point) >= best and _below(real, point) and after:
                    best, found = len(point), after.split(" ")[0]
    except OSError:
        return ""
    return found


def is_fleeting(kind: str) -> bool:
    """Whether what is written there is gone with the machine or the container."""
    return kind in FLEETING


def is_shared(kind: str) -> bool:
    """Whether other machines may write there. FUSE may be anything, so it counts."""
    return kind in NETWORK or kind.startswith("fuse")


def _below(path: str, point: str) -> bool:
    return bool(point) and (path == point or path.startswith(point.rstrip("/") + "/"))


def _plain(text: str) -> str:
    """Spaces and the like are written as a backslash and three octal digits."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
