"""Where a file's newest version comes from: the daemon, which asks the hub, or this disk's spool."""

from __future__ import annotations

import os
from typing import BinaryIO

from respool import fetching, notices, saving
from respool.blobs import SnapshotError
from respool.errors import CommError
from respool.keeper import Keeper
from respool.link import close_all
from respool.wire.file_messages import Restore, Restored
from respool.wire.identity import BadNameError, split_run_path
from respool.wire.messages import StatusRequest, Waiting

SECONDS = 600.0
GREETING_SECONDS = 5.0


def restore(
    keeper: Keeper, name: str, run_path: str | None, root: str | None, run_dir: str, *, replace: bool
) -> BinaryIO:
    """The file, put below `root` or `run_dir` and opened. Raises FileNotFoundError or CommError."""
    plain = _plain(name)
    return fetching.place(_opened(keeper, plain, run_path), plain, root, run_dir, replace=replace)


def fetch(keeper: Keeper, name: str, run_path: str | None, target: str) -> None:
    """The file, put at `target` whole, whatever was there. Raises as `restore`."""
    source = _opened(keeper, _plain(name), run_path)
    try:
        fetching.write(source, target)
    except (OSError, SnapshotError) as error:
        raise CommError(f"{name} could not be written to {target}: {error}. Use another folder.") from error
    finally:
        os.close(source)


def _plain(name: str) -> str:
    try:
        return saving.normal_name(os.fspath(name))
    except ValueError:
        raise FileNotFoundError(f"{name!r} is no name of a file of a run. Name it as save() did.") from None


def _opened(keeper: Keeper, name: str, run_path: str | None) -> int:
    source = _from_daemon(keeper, name, run_path)
    return _from_spool(keeper, name, run_path) if source is None else source


def _from_daemon(keeper: Keeper, name: str, run_path: str | None) -> int | None:
    if keeper.tether is None:
        return None
    # A large file may take long; a daemon that stands still is not waited for.
    standing = keeper.tether.ask(StatusRequest(), GREETING_SECONDS)
    answer = keeper.tether.ask(Restore(name, run_path), SECONDS, _say) if standing is not None else None
    if answer is None or not isinstance(answer.message, Restored):
        if keeper.spool is not None or keeper.attached.directory:
            return None
        raise CommError(
            f"The daemon at {keeper.tether.path} gave no answer for {name}. Look at `respool status`."
        )
    if answer.message.error is not None or not answer.fds:
        close_all(answer.fds)
        where = run_path or f"{keeper.attached.project}/{keeper.attached.run_id}"
        if answer.message.uncertain:
            # To "there is none" a script answers by beginning anew.
            raise CommError(_whole(answer.message.error, "see `respool status`, and ask again"))
        raise FileNotFoundError(_why_not(answer.message.error, name, where))
    close_all(answer.fds[1:])
    return answer.fds[0]


def _why_not(error: str | None, name: str, where: str) -> str:
    advice = f"`respool files {where}` lists what there is"
    return _whole(error or f"run {where} has no file {name}", advice)


def _whole(error: str | None, advice: str) -> str:
    """Whole sentences are the hub's, and end with its advice."""
    return error if error and error.endswith(".") else notices.joined(error or "nothing came", advice)


def _from_spool(keeper: Keeper, name: str, run_path: str | None) -> int:
    from respool import spool_files, spool_history  # noqa: PLC0415 - json, which init() should not wait for

    spool = keeper.spool or os.path.dirname(keeper.attached.directory)
    entity, project, run_id = run_of(keeper, run_path)
    roots = spool_history.roots_of(spool, os.environ) if spool else []
    attempts = spool_history.attempts_of(roots, project, run_id, entity)
    own = [one for one in attempts if one.file.attempt_id == keeper.attached.attempt_id]
    found = spool_files.newest_file(attempts, own[0] if own else spool_history.head_of(attempts), name)
    if found is None:
        raise FileNotFoundError(
            f"No version of {name} of run {project}/{run_id} is in the spool {spool or '(none)'}, and no daemon "
            "could be asked. Start one, or restore the file with `respool restore`."
        )
    return os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)


def run_of(keeper: Keeper, run_path: str | None) -> tuple[str | None, str, str]:
    """(entity, project, run id) of a path, None meaning the keeper's own. Raises FileNotFoundError."""
    if run_path is None:
        return None, keeper.attached.project, keeper.attached.run_id
    try:
        entity, project, run_id = split_run_path(run_path)
    except BadNameError as error:
        raise FileNotFoundError(f"{error}.") from error
    return entity, project or keeper.attached.project, run_id


def _say(waiting: Waiting) -> None:
    notices.line(waiting.reason)
