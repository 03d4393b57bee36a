"""The closed table of environment variables that the shim reads, and nothing else of the environment.

`WANDB_API_KEY`, `WANDB_BASE_URL` and `.netrc` are not in it on purpose: a foreign secret is not ours to use.
`RESPOOL_API_KEY` is shown to nobody but the hub: by the Api, or through a daemon that exchanges it there
(`respool.own_key`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from respool.errors import UsageError

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_CONSOLE = frozenset({"auto", "wrap", "wrap_raw", "wrap_emu", "redirect", "iowrap"})
_MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "spool": "spool",
    "offline": "spool",
    "dryrun": "spool",
    "disabled": "disabled",
}
_RESUME = {
    "allow": "allow",
    "must": "must",
    "never": "never",
    "auto": "auto",
    "true": "auto",
    "1": "auto",
    "none": "none",
    "false": "none",
    "0": "none",
}


def mode_of(text: str) -> str:
    """online, spool or disabled. Raises ValueError that lists what is possible."""
    return _one_of(_MODES, text)


def resume_of(value: Any) -> str:
    """One of `respool.wire.attempt.RESUME_MODES`. Raises ValueError that lists what is possible."""
    if value is None or value is False:
        return "none"
    return "auto" if value is True else _one_of(_RESUME, str(value))


def share_of(text: str) -> float:
    """From 0 to less than 1, also as 5%. Raises ValueError that says what is possible."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ValueError("a share such as 5% or 0.05")
    return share


def _one_of(table: dict[str, str], text: str) -> str:
    try:
        return table[text.strip().lower()]
    except KeyError:
        raise ValueError(f"one of {', '.join(table)}") from None


def _flag(text: str) -> bool:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise ValueError("one of 1, true, yes, on, 0, false, no, off")


def _size(text: str) -> int:
    plain = text.lower().removesuffix("ib").removesuffix("b").strip()
    unit = _UNITS.get(plain[-1:], 0)
    try:
        return int(float(plain[:-1] if unit else plain) * (unit or 1))
    except (ValueError, OverflowError):
        raise ValueError("a size such as 500M or 2GiB") from None


def _unless(text: str) -> bool:
    return not _flag(text)


def _console(text: str) -> bool:
    if text.lower() in _CONSOLE:
        return True
    return _flag(text)


def _tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("an absolute path")
    return text


class Variable(NamedTuple):
    """One row: which value it sets, how its text is read, what it is for."""

    name: str
    field: str
    read: Callable[[str], Any]
    doc: str


TABLE = (
    Variable(
        "RESPOOL_MODE", "mode", mode_of, "online (a daemon, else the spool), spool (no daemon), disabled"
    ),
    Variable("WANDB_MODE", "mode", mode_of, "online, offline or dryrun (the spool), disabled"),
    Variable("RESPOOL_SOCKET", "socket", _absolute, "the daemon's socket, instead of the usual places"),
    Variable(
        "RESPOOL_SPOOL_DIR", "spool", str, "where rows go without a daemon, instead of DIR/respool/spool"
    ),
    Variable(
        "RESPOOL_HUB_URL", "hub", str, "the hub that this run belongs to, for a daemon that serves several"
    ),
    Variable(
        "RESPOOL_API_KEY",
        "api_key",
        str,
        "this user's key for the hub, exchanged there for a token and written nowhere",
    ),
    Variable("RESPOOL_PROJECT", "project", str, "project, when init() names none"),
    Variable("WANDB_PROJECT", "project", str, "the same"),
    Variable("RESPOOL_ENTITY", "entity", str, "entity, when init() names none"),
    Variable("WANDB_ENTITY", "entity", str, "the same"),
    Variable("RESPOOL_RUN_ID", "run_id", str, "run id, when init() names none"),
    Variable("WANDB_RUN_ID", "run_id", str, "the same"),
    Variable("RESPOOL_SWEEP_ID", "sweep", str, "the sweep that this run is one of; an agent sets it"),
    Variable("RESPOOL_SWEEP_PARAMETERS", "parameters", str, "what the sweep wants tried, as JSON; as above"),
    Variable("RESPOOL_RESUME", "resume", resume_of, "allow, must, never, auto (also true, 1), none"),
    Variable("WANDB_RESUME", "resume", resume_of, "the same"),
    Variable("RESPOOL_LAUNCH_ID", "launch", str, "names this launch; exported to what the script starts"),
    Variable("RESPOOL_DIR", "dir", str, "folder of respool/, when init() names none"),
    Variable("WANDB_DIR", "dir", str, "the same"),
    Variable(
        "RESPOOL_OFFLINE_MUST", "offline_must", str, "trust: resume='must' believes that the run exists"
    ),
    Variable(
        "RESPOOL_AUTOSTART", "autostart", _flag, "whether init() starts a daemon where there is none: 1, 0"
    ),
    Variable(
        "RESPOOL_LASTING",
        "lasting",
        _flag,
        "whether what is kept on this machine outlives the job: 1, 0; else judged by container and file system",
    ),
    Variable(
        "RESPOOL_ROWS_QUOTA", "rows_quota", _size, "what rows may hold of a spool, such as 500M or 2GiB"
    ),
    Variable("RESPOOL_BLOBS_QUOTA", "blobs_quota", _size, "the same for files"),
    Variable(
        "RESPOOL_FREE_FLOOR",
        "free_floor",
        share_of,
        "share of a spool's disk that files leave free, such as 5%; rows stop at half of it",
    ),
    Variable("RESPOOL_CONSOLE", "console", _console, "whether what the script prints is kept: 1, 0"),
    Variable("WANDB_CONSOLE", "console", _console, "the same; off, or any of W&B's other words for on"),
    Variable(
        "RESPOOL_SYSTEM", "system", _flag, "whether the daemon samples the job's CPU, memory, GPUs: 1, 0"
    ),
    Variable("RESPOOL_ABOUT", "about", _flag, "whether command line, machine and packages are kept: 1, 0"),
    Variable("RESPOOL_GIT", "git", _flag, "whether the git commit is kept: 1, 0"),
    Variable("WANDB_DISABLE_GIT", "git", _unless, "the same, the other way round"),
    Variable("RESPOOL_SILENT", "silent", _flag, "print nothing but losses"),
    Variable("WANDB_SILENT", "silent", _flag, "the same"),
    Variable("WANDB_NAME", "name", str, "the run's name, when init() passes none"),
    Variable("WANDB_NOTES", "notes", str, "notes, when init() passes none"),
    Variable("WANDB_TAGS", "tags", _tags, "tags with commas between, when init() passes none"),
    Variable("WANDB_RUN_GROUP", "group", str, "group, when init() passes none"),
    Variable("WANDB_JOB_TYPE", "job_type", str, "job type, when init() passes none"),
)
"""Of two rows with one field the first that is set and not empty counts. Arguments of init() come before all."""


class Environment(NamedTuple):
    """What the environment says; None where it says nothing."""

    mode: str | None = None
    socket: str | None = None
    spool: str | None = None
    hub: str | None = None
    api_key: str | None = None
    project: str | None = None
    entity: str | None = None
    run_id: str | None = None
    sweep: str | None = None
    parameters: str | None = None
    resume: str | None = None
    launch: str | None = None
    dir: str | None = None
    offline_must: str | None = None
    autostart: bool | None = None
    lasting: bool | None = None
    rows_quota: int | None = None
    blobs_quota: int | None = None
    free_floor: float | None = None
    silent: bool | None = None
    console: bool | None = None
    system: bool | None = None
    about: bool | None = None
    git: bool | None = None
    name: str | None = None
    notes: str | None = None
    tags: list[str] | None = None
    group: str | None = None
    job_type: str | None = None


def read(environ: Mapping[str, str]) -> Environment:
    """The table applied to `environ`. Raises UsageError naming the variable and its value."""
    found: dict[str, Any] = {}
    for variable in TABLE:
        text = environ.get(variable.name, "").strip()
        if not text or variable.field in found:
            continue
        try:
            found[variable.field] = variable.read(text)
        except ValueError as error:
            raise UsageError(
                f"{variable.name} is {text!r:.80}, which means nothing here. Set it to {error}."
            ) from None
    return Environment(**found)
