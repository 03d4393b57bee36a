"""Fetch a file or a checkpoint of a run, checked bit for bit.

The bytes go to a temporary file beside the target, are compared with the digests under which the hub keeps
them, and only then take the target's name: what lies there is whole, or it is not there.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from urllib.parse import quote

import httpx
from blake3 import blake3

from respool.wire.errors import WireError
from respoold.cli import checkpoints, words
from respoold.cli.arguments import natural, positive
from respoold.cli.checkpoints import MOST_ASKED
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub
from respoold.cli.places import here
from respoold.cli.progress import progress
from respoold.cli.runs import RunPath, add_run_argument, resolve
from respoold.cli.screen import Screen
from respoold.cli.source import add_source_arguments, open_source
from respoold.core import hubapi
from respoold.core.manifest import manifest_digest
from respoold.io.partial import Partial

EXAMPLES = """
examples:
  respool restore digits/mlp-1 checkpoint.npz   into the current folder
  respool restore mlp-1 model.pt -o /scratch/model.pt
  respool restore mlp-1 model.pt --attempt 2    an older version
  respool restore mlp-1 model.pt --spool respool/spool
  respool restore mlp-1 --checkpoint            the newest complete checkpoint
  respool restore mlp-1 --checkpoint --step 5000 --rank 2 -o /scratch/from
"""

DIGEST, CHUNKS = "x-respool-digest", "x-respool-chunks"


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="the file's name in the run: `respool files RUN` lists them; of a checkpoint `checkpoint` unless given",
    )
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="fetch a checkpoint: all its parts, to the folder -o, or the current one",
    )
    parser.add_argument("--step", metavar="N", type=natural, help="of a checkpoint: saved at step N")
    parser.add_argument("--rank", metavar="R", type=natural, help="of a checkpoint: only the share of rank R")
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="write here; a folder keeps the file's own name"
    )
    parser.add_argument("--attempt", metavar="N", type=positive, help="the version of attempt N")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Fetch it. Nothing is changed unless the bytes are right."""
    if args.checkpoint:
        return checkpoints.restore(args, screen)
    if args.name is None or args.step is not None or args.rank is not None:
        cause = "No file is named." if args.name is None else "--step and --rank are of checkpoints."
        raise CommandError(Exit.USAGE, cause, "`respool files RUN` lists them; or say --checkpoint.")
    target = _target(args.name, args.output)
    if os.path.lexists(target) and not args.force:
        cause = f"The file {target} is there already."
        raise CommandError(Exit.USAGE, cause, "Replace it with --force, or write elsewhere with -o PATH.")
    run, size, digest = args.run, 0, ""
    try:
        with open_source(args, screen) as hub:
            path = resolve(hub, args.run)
            size, digest = fetch(hub, path, args.name.removeprefix("./"), args.attempt, target, screen)
            run = str(path)
    except CommandError as error:
        size, digest = _from_node(args, target, screen, error)
    if args.json:
        screen.emit({"run": run, "name": args.name, "path": target, "size": size, "digest": digest})
    else:
        screen.say(f"{target}  {words.size(size)}, BLAKE3 {digest[:12]} as stored")
    return Exit.DONE


def _from_node(args: Namespace, target: str, screen: Screen, error: CommandError) -> tuple[int, str]:
    """What this node's daemon keeps of it, which the hub may never have had; (size, digest). Raises `error` where that
    is nothing.
    """
    if args.spool is not None or args.hub is not None or args.attempt is not None or error.code == Exit.BAD:
        raise error
    with ExitStack() as stack:
        try:
            daemon = stack.enter_context(open_daemon(here()))
            found = daemon.file(args.name.removeprefix("./"), args.run)
        except (NoDaemonError, OSError, WireError):
            raise error from None
        if found is None:
            raise error
        restored, fd = found
        source = stack.enter_context(open(fd, "rb"))
        source.seek(0)
        screen.note(f"{error.cause} It comes from {restored.source}.")
        temporary = stack.enter_context(_beside(target))
        return _copy(iter(partial(source.read, 1 << 20), b""), temporary, restored.size, screen)


def _target(name: str, output: str | None) -> str:
    """Where the file goes. A name that would leave the folder needs -o."""
    own = name.removeprefix("./")
    if output is None:
        if own.startswith("/") or ".." in own.split("/") or not own.strip("/"):
            cause = f"The name {name!r} points out of this folder."
            raise CommandError(Exit.USAGE, cause, "Say where the file shall go with -o PATH.")
        return own
    return os.path.join(output, os.path.basename(own)) if os.path.isdir(output) else output


def fetch(
    hub: Hub, path: RunPath, name: str, attempt: int | None, target: str, screen: Screen
) -> tuple[int, str]:
    """Bring a file's bytes to `target`; (size, their BLAKE3). Raises CommandError: then `target` is as it was."""
    with hub.stream(path.url("files", quote(name)), attempt=attempt) as response:
        expected = response.headers.get(DIGEST)
        if not expected:
            cause = f"The hub at {hub.address.url} sent the file without its digest."
            raise CommandError(Exit.UNREACHABLE, cause, "Check that the address is a respool hub's.")
        with _beside(target) as temporary:
            size, digest = _copy(hub.chunks(response), temporary, _length(response), screen)
            if CHUNKS in response.headers:
                bad = _bad_chunks(hub.manifest(path.url("parts", expected)), expected, temporary, size)
            else:
                bad = [expected] if digest != expected else []
            broken = [one for one in bad[:MOST_ASKED] if not hub.holds(one)]
            if broken:
                problem = hubapi.damaged(os.path.basename(target), len(broken))
                raise CommandError(Exit.BAD, problem.cause, problem.advice)
            if bad:
                cause = f"The file arrived damaged: its bytes are not those that the hub keeps as {expected[:12]}."
                advice = "Nothing was written; try again, and check the hub's disk."
                raise CommandError(Exit.BAD, cause, advice)
    return size, digest


def _bad_chunks(manifest: hubapi.Manifest, expected: str, path: str, size: int) -> list[str]:
    """The digests of those that the file at `path` has not, or of the whole where it cannot be put together so."""
    if size != sum(manifest.sizes) or manifest_digest(manifest.digests, manifest.sizes) != expected:
        return [expected]
    partial = Partial(os.path.abspath(path), manifest)
    try:
        return [partial.name_of(index) for index in partial.bad_in(0, size)]
    finally:
        partial.close()


@contextmanager
def _beside(target: str) -> Iterator[str]:
    """A temporary path in the target's folder that becomes the target if the block succeeds."""
    temporary = f"{target}.{os.getpid()}.part"
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        cause = f"The file {target} cannot be written: {error.strerror or error}."
        raise CommandError(Exit.USAGE, cause, "Choose another place with -o PATH.") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _copy(chunks: Iterator[bytes], path: str, total: int | None, screen: Screen) -> tuple[int, str]:
    hasher, size = blake3(), 0
    with open(path, "wb") as file, progress(screen, os.path.basename(path), total) as advance:
        for chunk in chunks:
            file.write(chunk)
            hasher.update(chunk)
            size += len(chunk)
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    return size, hasher.hexdigest()


def _length(response: httpx.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None
