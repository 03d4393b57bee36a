"""A run's story along a lineage: which attempts, how much of each, and what they amount to together.

Cheap where nothing is hidden: each writer's fold is stored. Where a cut hides rows of an ancestor, that
ancestor's summary is found again from its visible rows, newest batch first, until every key is known; for
metrics that are summed up as min, max or none all visible rows are folded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.frames import NO_STEP, Frame, Kind, frames
from respool.wire.summing import join_summary, takes_first
from respool_hub.service.fold import Fold
from respool_hub.service.payload import map_in, map_of
from respool_hub.service.reach import Reach
from respool_hub.service.standing import links
from respool_hub.store.ports import Reader
from respool_hub.store.rows import AttemptRow, BatchRow, WriterRow
from respoold.core.lineage import Link, Placed, Visible, last_step, limited, lineage, placed


class Story(NamedTuple):
    """One run as it is told from `tip`: attempts oldest first, each with its limit and its cut. `guests`: (attempt id,
    writer) of those who came by join=True.
    """

    attempts: dict[str, AttemptRow]
    writers: dict[str, list[WriterRow]]
    links: dict[str, Link]
    chain: list[Visible]
    cuts: dict[str, int | None]
    last_step: int
    guests: set[tuple[str, int]]

    def limit(self, shown: Visible, writer: int) -> int | None:
        """The step from which what this writer of the attempt logged is hidden; None: nothing of it is."""
        return shown.guests if (shown.attempt_id, writer) in self.guests else shown.limit

    def of(self, attempt_id: str) -> Visible:
        """What shows of an attempt; of one that is not on the lineage all, as it was written."""
        found = (one for one in self.chain if one.attempt_id == attempt_id)
        return next(found, Visible(attempt_id, None))


class Totals(NamedTuple):
    """What a story amounts to. `firsts`: whose first value of a metric it is: (place in the story, step, writer)."""

    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: dict[str, Any]
    firsts: dict[str, tuple[int, int, int]]


def tell(reader: Reader, run: int, tip: str | None) -> Story:
    """The story of a run whose head, or other end, is `tip`."""
    attempts = {row.attempt_id: row for row in reader.attempts(run)}
    rows = reader.writers(run)
    guests = reader.guests(run)
    known = links(attempts.values(), rows, guests)
    writers: dict[str, list[WriterRow]] = {key: [] for key in attempts}
    for row in rows:
        writers[row.attempt_id].append(row)
    chain = lineage(known, tip)
    found = _places(reader, chain, writers)
    cuts = {link.attempt_id: place.cut for link, place in zip(chain, found, strict=True)}
    return Story(attempts, writers, known, limited(chain, found), cuts, last_step(chain), guests)


def _places(reader: Reader, chain: list[Link], writers: dict[str, list[WriterRow]]) -> list[Placed]:
    if len(chain) < 2:
        return placed(chain)
    reach = Reach(reader, writers)
    return placed([link._replace(axes=reach.firsts(link.attempt_id)) for link in chain], reach.step)


def about(reader: Reader, story: Story, attempt_id: str) -> dict[str, Any]:
    """What the attempt's primary said it was started with: command line, machine, git commit."""
    rows = story.writers[attempt_id][:1]
    kept = reader.view(attempt_id, rows[0].writer) if rows else b""
    return map_of(codec.unpack_map(kept).get("about")) if kept else {}


def hidden(reader: Reader, story: Story) -> dict[str, int]:
    """How many rows of each attempt on the lineage a cut hides."""
    return {shown.attempt_id: _hidden(reader, story, shown) for shown in story.chain}


def _hidden(reader: Reader, story: Story, shown: Visible) -> int:
    limits: dict[int, int] = {}
    for row in story.writers[shown.attempt_id]:
        limit = story.limit(shown, row.writer)
        if limit is not None and row.last_step >= limit:
            limits[row.writer] = limit
    batches = reader.batches(shown.attempt_id) if limits else ()
    return sum(_beyond(reader, one, limits[one.writer]) for one in batches if one.writer in limits)


def _beyond(reader: Reader, batch: BatchRow, limit: int) -> int:
    if batch.min_step >= limit:
        return batch.rows
    if batch.max_step < limit:
        return 0
    return sum(one.kind == Kind.ROW and one.step >= limit for one in frames(reader.batch(batch.id)))


def total(reader: Reader, story: Story) -> Totals:
    """Config, summary and metric definitions along the story. Of one attempt the primary speaks last."""
    totals = Totals({}, {}, {}, {})
    for place, shown in enumerate(story.chain):
        for row in reversed(story.writers[shown.attempt_id]):
            root = story.attempts[shown.attempt_id].parent not in story.attempts
            fold = Fold(row, reader.view(row.attempt_id, row.writer), root=root)
            limit = story.limit(shown, row.writer)
            hides = limit is not None and row.last_step >= limit
            _add(totals, fold, _shown(reader, fold, root, limit) if hides else None, place)
    return totals


def _add(totals: Totals, fold: Fold, shown: Fold | None, place: int) -> None:
    """Fold one writer in. `shown`: its summary without the hidden rows, when there are any."""
    for key in fold.unset:
        totals.config.pop(key, None)
    totals.config.update(fold.view.config)
    totals.metrics.update(_metrics(fold))
    visible_fold = shown or fold
    said, summary = visible_fold.assigned, visible_fold.view.summary
    for key in said:
        totals.summary.pop(key, None)
    earlier = _earlier(totals, visible_fold, place)
    join_summary(totals.summary, summary, totals.metrics, earlier=earlier, whole=visible_fold.whole)
    totals.summary.update({key: summary[key] for key in said if key in summary})


def _earlier(totals: Totals, fold: Fold, place: int) -> frozenset[str]:
    """The metrics summed up by their first value of which this writer has it: the lowest step's, then the lowest
    writer's, within the first attempt that has one.
    """
    found = set[str]()
    for key in fold.view.summary.keys() & totals.metrics.keys():
        if takes_first(map_of(totals.metrics[key]).get("summary")):
            mine = (place, fold.view.firsts.get(key, fold.view.last_step), fold.row.writer)
            known = totals.firsts.get(key)
            if known is None or mine < known:
                totals.firsts[key] = mine
                if known is not None:
                    found.add(key)
    return frozenset(found)


def _metrics(fold: Fold) -> dict[str, Any]:
    return map_of(fold.view.meta.get("metrics"))


def _shown(reader: Reader, fold: Fold, root: bool, limit: int | None) -> Fold:
    # Behind a LOSS a snapshot may be all there is of a key, and which one counts depends on what came before.
    if fold.row.lost or any(_how(definition) != "last" for definition in _metrics(fold).values()):
        return _refold(reader, fold.row, root, limit)
    return _search(reader, fold, root, limit)


def _how(definition: Any) -> Any:
    return map_of(definition).get("summary", "last")


def _refold(reader: Reader, row: WriterRow, root: bool, limit: int | None) -> Fold:
    fold = Fold(WriterRow(row.attempt_id, row.writer), root=root, limit=limit)
    for batch in reader.batches(row.attempt_id):
        if batch.writer == row.writer:
            fold.take(list(frames(reader.batch(batch.id))))
    return fold


def _search(reader: Reader, fold: Fold, root: bool, limit: int | None) -> Fold:
    """The summary's keys, each from the newest visible record that has it."""
    found = Fold(WriterRow(fold.row.attempt_id, fold.row.writer), root=root, limit=limit)
    missing = set(fold.view.summary) | fold.assigned
    for batch in reversed(reader.batches(fold.row.attempt_id)):
        if not missing:
            break
        if batch.writer == fold.row.writer:
            for frame in reversed(list(frames(reader.batch(batch.id)))):
                _look(found, missing, frame, limit)
    return found


def _look(found: Fold, missing: set[str], frame: Frame, limit: int | None) -> None:
    if not missing or (limit is not None and frame.step >= limit):
        return
    if frame.kind == Kind.ROW:
        row = map_in(frame.payload) or {}
        for key in missing.intersection(row):
            found.view.summary[key] = row[key]
            missing.discard(key)
    elif frame.kind in {Kind.SUMMARY, Kind.SNAPSHOT}:
        _look_explicit(found, missing, frame)


def _look_explicit(found: Fold, missing: set[str], frame: Frame) -> None:
    one = Fold(WriterRow("", 0), root=found._root, limit=found._limit)
    one.take([frame])
    for key in missing.intersection(one.view.summary):
        found.view.summary[key] = one.view.summary[key]
    found.assigned.update(missing & one.assigned)
    missing.difference_update(set(one.view.summary) | one.assigned)


def next_step(story: Story) -> int:
    """The step a continuation begins with."""
    return 0 if story.last_step == NO_STEP else story.last_step + 1
