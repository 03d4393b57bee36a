"""What a run was started with: command line, Python, machine, git commit, packages. Never the environment.

Read from files and from memory, a millisecond in all. The one thing that takes longer, whether the work tree
differs from its commit, is asked of git in a process of its own that nobody waits for.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from respool.redaction import arguments, redacted

if TYPE_CHECKING:
    import subprocess

GIT_SECONDS = 10.0
MOST_ARGUMENTS, LONGEST_ARGUMENT = 200, 1000
_MOST_STATUS = 1 << 20
_REAP_SECONDS = 0.2


def facts() -> dict[str, Any]:
    """Command line, Python and machine."""
    words = arguments(sys.argv or [""])[:MOST_ARGUMENTS]
    uname = os.uname()
    return {
        "argv": [word[:LONGEST_ARGUMENT] for word in words],
        "cwd": _cwd(),
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "os": f"{uname.sysname} {uname.release} {uname.machine}",
        "cpus": os.cpu_count(),
        "memory": _memory(),
    }


def packages() -> list[str]:
    """Installed packages as name==version, by the names of their folders on sys.path."""
    found: set[str] = set()
    for folder in dict.fromkeys(sys.path):
        with suppress(OSError):
            for name in os.listdir(folder or "."):
                stem, ending = os.path.splitext(name)
                if ending in {".dist-info", ".egg-info"} and "-" in stem:
                    package, _, version = stem.partition("-")
                    found.add(f"{package}=={version.partition('-')[0]}")
    return sorted(found, key=str.lower)


def git_facts(folder: str) -> dict[str, Any] | None:
    """Commit, branch and remote of the repository that `folder` is in, from its files alone; None for none."""
    found = _git_folder(folder)
    if found is None:
        return None
    git, common = found
    head = _text(os.path.join(git, "HEAD")).strip()
    ref = head.removeprefix("ref: ") if head.startswith("ref: ") else ""
    commit = head
    if ref:
        commit = _text(os.path.join(git, ref)).strip() or _text(os.path.join(common, ref)).strip()
        commit = commit or _packed(common, ref)
    remote = _remote(common)
    known = {"commit": commit, "branch": ref.removeprefix("refs/heads/"), "remote": remote}
    return {key: value for key, value in known.items() if value}


class DirtyCheck:
    """Asks git, in the background, whether tracked files differ from the commit. `poll` until it is `over`."""

    def __init__(self, folder: str) -> None:
        import subprocess  # noqa: PLC0415 - not at import time

        self.over = False
        self._begin = monotonic()
        self._said = b""
        self._child: subprocess.Popen[bytes] | None = None
        words = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", folder]
        words += ["status", "--porcelain=v2", "--branch", "--untracked-files=no"]
        try:
            self._child = subprocess.Popen(  # noqa: S603 - fixed words; the folder is the script's own
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            self.over = True
            return
        if self._child.stdout is not None:
            os.set_blocking(self._child.stdout.fileno(), False)

    def poll(self) -> bool | None:
        """The answer, once it is there; None before, and when there will be none. Never waits."""
        child = self._child
        if self.over or child is None or child.stdout is None:
            return None
        with suppress(BlockingIOError):
            while chunk := os.read(child.stdout.fileno(), 1 << 16):
                self._said = (self._said + chunk)[:_MOST_STATUS]
            self._end()
            return self._answer()
        if monotonic() - self._begin > GIT_SECONDS:
            self.close()
        return None

    def wait(self, seconds: float) -> bool | None:
        """As `poll`, waiting for the answer."""
        import select  # noqa: PLC0415 - a library that init() need not load

        deadline, answer = monotonic() + seconds, self.poll()
        while answer is None and not self.over and self._child is not None and monotonic() < deadline:
            ready = select.poll()
            ready.register(self._child.stdout or -1, select.POLLIN)
            ready.poll(1000 * (deadline - monotonic()))
            answer = self.poll()
        return answer

    def close(self) -> None:
        """Wait for no answer any more."""
        if not self.over and self._child is not None:
            with suppress(OSError):
                self._child.kill()
            self._end()

    def _end(self) -> None:
        import subprocess  # noqa: PLC0415 - as above

        self.over = True
        if self._child is not None and self._child.stdout is not None:
            self._child.stdout.close()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_REAP_SECONDS)

    def _answer(self) -> bool | None:
        lines = self._said.splitlines()
        # A git that failed says nothing, which must not look like a clean tree.
        told = any(line.startswith(b"# branch.oid") for line in lines)
        return any(not line.startswith(b"#") for line in lines) if told else None


def _git_folder(folder: str) -> tuple[str, str] | None:
    """The folder of HEAD and the folder of refs and config: two in a linked work tree."""
    at = os.path.abspath(folder)
    while True:
        path = os.path.join(at, ".git")
        if os.path.isdir(path):
            return path, path
        if os.path.isfile(path):
            git = os.path.join(at, _text(path).strip().removeprefix("gitdir: "))
            common = _text(os.path.join(git, "commondir")).strip()
            return git, os.path.join(git, common) if common else git
        above = os.path.dirname(at)
        if above == at:
            return None
        at = above


def _packed(common: str, ref: str) -> str:
    lines = _text(os.path.join(common, "packed-refs")).splitlines()
    return next((line.partition(" ")[0] for line in lines if line.partition(" ")[2] == ref), "")


def _remote(common: str) -> str:
    inside = False
    for line in _text(os.path.join(common, "config")).splitlines():
        text = line.strip()
        if text.startswith("["):
            inside = text == '[remote "origin"]'
        elif inside and text.startswith("url"):
            return redacted(text.partition("=")[2].strip())
    return ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_STATUS)
    except OSError:
        return ""


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
