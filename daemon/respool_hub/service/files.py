"""Files by name: committing a version, and which version of a name a lineage shows."""

from __future__ import annotations

from respool.wire.frames import NO_STEP
from respool_hub.service import names
from respool_hub.service.access import Caller, own_attempt
from respool_hub.service.allowance import within
from respool_hub.service.batch import MAX_SEQ
from respool_hub.service.fold import finite
from respool_hub.service.refusal import refuse
from respool_hub.service.story import Story
from respool_hub.store.ports import Transaction
from respool_hub.store.rows import FileRow
from respoold.core.hubapi import FileCommit


def commit(tx: Transaction, caller: Caller, attempt_id: str, request: FileCommit, cap: int = 0) -> None:
    """Make a version visible; its blob was looked for by the caller. Twice is as once. Raises RefusalError "quota"
    when its project would hold more than `cap` bytes then; 0: it may.
    """
    _, run = own_attempt(tx, caller, attempt_id)
    name = names.file(request.name)
    step = None if request.step == NO_STEP else request.step
    if not (0 <= request.seq < MAX_SEQ and 0 <= request.writer < MAX_SEQ and 0 <= request.size < MAX_SEQ):
        raise refuse("bad-request", f"File {name!r} has a number out of range.", "Send the record's own.")
    if step is not None and not NO_STEP < step < -NO_STEP:
        raise refuse("bad-request", f"File {name!r} has step {step}.", "Use a step of 64 bits.")
    where = (attempt_id, request.writer, request.seq)
    at = finite(request.time) or 0.0
    row = FileRow(*where, name, request.digest, request.size, step, at, request.metadata)
    with within(tx, run, cap, f"file {name!r}", request.size):
        tx.add_file(row)


def shown(files: list[FileRow], story: Story) -> dict[str, FileRow]:
    """The newest visible version of each name: a cut hides its ancestors' later ones, as it does rows."""
    order = {visible.attempt_id: index for index, visible in enumerate(story.chain)}
    chain = {visible.attempt_id: visible for visible in story.chain}
    found: dict[str, FileRow] = {}
    for file in files:
        part = chain.get(file.attempt_id)
        limit = story.limit(part, file.writer) if part else None
        if part is None or (limit is not None and file.step is not None and file.step >= limit):
            continue
        known = found.get(file.name)
        if known is None or _age(order, known) <= _age(order, file):
            found[file.name] = file
    return dict(sorted(found.items()))


def _age(order: dict[str, int], file: FileRow) -> tuple[int, int, int]:
    return order[file.attempt_id], file.seq, file.writer
