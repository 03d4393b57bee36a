"""Checkpoints for commands: which there are and where, and their bytes, from this node's spool or the hub."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from respool.saving import normal_name, own_file_name
from respool.wire.file_messages import RestorePart
from respoold.cli import words
from respoold.cli.daemon_link import DaemonLink, NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, DeniedError, Exit
from respoold.cli.hub import Hub
from respoold.cli.places import here
from respoold.cli.progress import progress
from respoold.cli.runs import RunPath, resolve
from respoold.cli.screen import Screen
from respoold.cli.source import open_source
from respoold.core import hubapi
from respoold.core.checkpoints import is_later_save
from respoold.io.alone import alone
from respoold.io.bulk import Bulk
from respoold.io.partial import Partial

DEFAULT = "checkpoint"
PIECE = 64 << 20
STREAMS = 4
MOST_ASKED = 16
"""Chunks after which the hub is asked when they came wrong; it reads each anew."""

Told = dict[str, Any]


class Found(NamedTuple):
    """The checkpoints of a run, newest first. Parts that lie on this machine have a "path"."""

    run: str
    path: RunPath | None
    checkpoints: list[Told]
    hub: Hub | None
    daemon: DaemonLink | None


@contextmanager
def found(args: Namespace, screen: Screen) -> Iterator[Found]:
    """What the hub shows of the run, and what this node's daemon holds of it. The daemon alone serves while the hub is
    away, for a run named PROJECT/RUN_ID. Raises CommandError.
    """
    with ExitStack() as stack:
        daemon = _daemon(args, stack)
        try:
            hub = stack.enter_context(open_source(args, screen))
            path = resolve(hub, args.run)
            told = list(hub.get(path.url("checkpoints")).get("checkpoints") or [])
        except CommandError as error:
            away = error.code == Exit.UNREACHABLE or isinstance(error, DeniedError)
            alone = daemon.checkpoints(args.run) if daemon and away else []
            if not alone:
                raise
            screen.note(f"{error.cause} What lies on this node is used.")
            yield Found(args.run, None, alone, None, daemon)
            return
        if daemon is not None:
            told = _with_local(told, daemon.checkpoints(str(path)))
        yield Found(str(path), path, told, hub, daemon)


def _daemon(args: Namespace, stack: ExitStack) -> DaemonLink | None:
    if args.spool is not None or args.hub is not None:
        return None
    try:
        return stack.enter_context(open_daemon(here()))
    except NoDaemonError:
        return None


def _key(one: Told) -> tuple[Any, ...]:
    return one.get("name"), one.get("step"), one.get("attempt_id")


def _with_local(remote: list[Told], local: list[Told]) -> list[Told]:
    """The hub's with the paths of what is here too, and those that wait here: in the daemon's order where it knows
    of all, else these first.
    """
    known = {_key(one): one for one in remote}
    mine = {_key(one): one for one in local}
    if known.keys() <= mine.keys():
        return [_of_both(known.get(_key(one), one), one) for one in local]
    fresh = [one for one in local if _key(one) not in known]
    return fresh + [_of_both(one, mine.get(_key(one), one)) for one in remote]


def _of_both(remote: Told, local: Told) -> Told:
    """What the hub says, of the bytes that are here; of a later save of that step that still waits, what is here."""
    return local if is_later_save(local, remote) else {**remote, "parts": local["parts"]}


def where(one: Told) -> str:
    """`here`, `hub`, `hub and here`, or `partly here`."""
    held = [bool(part.get("path")) for part in one.get("parts") or ()]
    at_hub = any(part.get("digest") for part in one.get("parts") or ())
    mine = "here" if held and all(held) else "partly here" if any(held) else ""
    return " and ".join(text for text in ("hub" if at_hub else "", mine) if text) or "hub"


def restore(args: Namespace, screen: Screen) -> int:
    """`respool restore RUN [NAME] --checkpoint`."""
    folder = args.output or "."
    with found(args, screen) as those:
        one = _chosen(those, args)
        parts = [part for part in one["parts"] if args.rank in {None, part["rank"]}]
        if not parts:
            cause = f"That checkpoint has no share of rank {args.rank}: {one.get('world')} ranks wrote it."
            raise CommandError(Exit.USAGE, cause, "Leave --rank out for all.")
        targets = [_target(one, part, folder) for part in parts]
        _refuse_to_replace(targets, force=args.force)
        title = f"{one['name']} at step {one['step']}"
        with progress(screen, title, sum(part["size"] for part in parts)) as advance:
            for part, target in zip(parts, targets, strict=True):
                _fetch(those, one, part, target, advance)
    if args.json:
        said = {key: one.get(key) for key in ("name", "step", "attempt_id", "metadata", "world")}
        screen.emit({"run": those.run, **said, "paths": targets, "size": sum(p["size"] for p in parts)})
    else:
        for part, target in zip(parts, targets, strict=True):
            screen.say(f"{target}  {words.size(part['size'])}, step {words.count(one['step'])}")
    return Exit.DONE


def _chosen(those: Found, args: Namespace) -> Told:
    name = args.name or DEFAULT
    named = [one for one in those.checkpoints if one["name"] == name]
    meant = [
        one for one in named if args.step in {None, one["step"]} and args.attempt in {None, one.get("number")}
    ]
    whole = next((one for one in meant if one.get("complete")), None)
    if whole is not None:
        return whole
    if meant:
        one = meant[0]
        cause = (
            f"Checkpoint {name} at step {one['step']} is not complete: "
            f"{len(one['ranks'])} of {one['world']} ranks committed."
        )
        raise CommandError(Exit.BAD, cause, "Take another: `respool checkpoints RUN` lists them.")
    there = "".join(f"\n    {one['name']} at step {one['step']}" for one in those.checkpoints[:8])
    cause = f"The run {those.run} has no such checkpoint {name!r}"
    cause += f" at step {args.step}." if args.step is not None else "."
    raise CommandError(
        Exit.USAGE, cause, f"It has:{there}" if there else "`respool files RUN` lists its files."
    )


def _target(one: Told, part: Told, folder: str) -> str:
    try:
        beside = [other["name"] for other in one["parts"] if other["rank"] == part["rank"]]
        name = normal_name(part["name"]) if part["name"] else own_file_name(one["name"], beside)
    except ValueError as error:
        cause = f"The part {part['name']!r} points out of the folder."
        raise CommandError(Exit.BAD, cause, "The hub sent what no hub sends.") from error
    below = (f"rank-{part['rank']}",) if one.get("world", 1) > 1 else ()
    return os.path.join(folder, *below, name)


def _refuse_to_replace(targets: list[str], *, force: bool) -> None:
    there = next((target for target in targets if os.path.lexists(target)), None)
    if there is not None and not force:
        cause = f"The file {there} is there already."
        raise CommandError(Exit.USAGE, cause, "Replace it with --force, or write elsewhere with -o DIR.")


def _fetch(those: Found, one: Told, part: Told, target: str, advance: Callable[[int], None]) -> None:
    """What is there under its name is whole. What came of it before a failure stays beside it, for the next try."""
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        with alone(target + ".part"):
            if part.get("path"):
                source = _local(those, one, part)
                try:
                    _copy(source, target + ".part", part["size"], advance)
                finally:
                    os.close(source)
            else:
                _download(those, part["digest"], target + ".part", advance)
            os.chmod(target + ".part", 0o666 & ~_umask())
            os.replace(target + ".part", target)
    except OSError as error:
        cause = f"The file {target} cannot be written: {error.strerror or error}."
        raise CommandError(Exit.USAGE, cause, "Choose another place with -o DIR.") from error


def _umask() -> int:
    """That of the caller, which can only be read by setting it."""
    os.umask(umask := os.umask(0o077))
    return umask


def _local(those: Found, one: Told, part: Told) -> int:
    if those.daemon is None:
        return os.open(part["path"], os.O_RDONLY | os.O_CLOEXEC)
    asked = RestorePart(
        one["name"], one["step"], part["name"], part["rank"], those.run, one.get("attempt_id")
    )
    return those.daemon.part(asked)


def _copy(source: int, path: str, size: int, advance: Callable[[int], None]) -> None:
    with open(path, "wb") as file:
        at = 0
        while at < size:
            moved = os.sendfile(file.fileno(), source, at, min(PIECE, size - at))
            if not moved:
                raise OSError(0, f"its snapshot ends at {at} of {size} bytes")
            at += moved
            advance(moved)
        os.fsync(file.fileno())


def _download(those: Found, digest: str, path: str, advance: Callable[[int], None]) -> None:
    if those.hub is None or those.path is None:
        cause = "Its bytes are not on this node, and the hub is away."
        raise CommandError(Exit.UNREACHABLE, cause, "Say it again when the hub is back.")
    hub, url = those.hub, those.path.url("parts", digest)
    partial, bulk = Partial(path, hub.manifest(url)), Bulk(hub.address.url)

    def get(start: int, end: int) -> None:
        at = start

        def take(data: memoryview) -> None:
            nonlocal at
            partial.put(data, at)
            at += len(data)
            advance(len(data))

        hub.span(bulk, url, start, end, take)
        bad = partial.bad_in(start, end)
        broken = [index for index in bad[:MOST_ASKED] if not hub.holds(partial.name_of(index))]
        if broken:
            problem = hubapi.damaged(digest[:12], len(broken))
            raise CommandError(Exit.BAD, problem.cause, problem.advice)
        if bad:
            raise CommandError(Exit.BAD, f"Bytes of {digest[:12]} arrived damaged.", "Say it again.")

    try:
        spans = partial.missing()
        advance(partial.size - sum(end - start for start, end in spans))
        with ThreadPoolExecutor(STREAMS) as pool:
            for _ in pool.map(lambda span: get(*span), spans):
                pass
        partial.sync()
    finally:
        partial.close()
        bulk.close()
