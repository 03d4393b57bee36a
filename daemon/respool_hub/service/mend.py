"""Mending a lineage by hand: which attempt is the head, what continues what, where a cut lies. Undone one by one.

Nothing is deleted by an order, and everything that is derived follows at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.standing import Quiet, ancestors, number_or_none, state
from respool_hub.service.story import Story, tell
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AttemptRow, OrderRow, RunRow

NO_CUT = -1
ORDERS = ("head", "graft", "cut", "undo")
LAST_STEP = 1 << 62


class Wish(NamedTuple):
    """An order as it was sent: attempts by number, id, or the beginning of an id. `step` of a cut: None for none."""

    order: str
    attempt: str = ""
    parent: str = ""
    step: int | None = None


def mend(tx: Transaction, run: RunRow, wish: Wish, by: str, at: float) -> OrderRow:
    """Carry out an order; it is durable with its effects. Raises RefusalError, and then nothing is changed."""
    if wish.order == "undo":
        return _undo(tx, run)
    attempts = {row.attempt_id: row for row in tx.attempts(run.id)}
    attempt = named(attempts, wish.attempt)
    match wish.order:
        case "head":
            before = _head(tx, run, attempts, attempt)
        case "graft":
            before = _graft(tx, run, attempts, attempt, named(attempts, wish.parent))
        case "cut":
            before = _cut(tx, attempt, wish.step)
        case _:
            raise refuse("bad-request", f"Order {wish.order[:40]!r} is unknown.", f"Use {', '.join(ORDERS)}.")
    parent = named(attempts, wish.parent).attempt_id if wish.parent else None
    return tx.add_order(
        OrderRow(0, run.id, wish.order, attempt.attempt_id, parent, wish.step, before, by, at)
    )


def named(attempts: dict[str, AttemptRow], name: str) -> AttemptRow:
    """The attempt of that number, or whose id begins so. Raises RefusalError."""
    text = name.strip().lower()
    found = [
        row for row in attempts.values() if text.isdecimal() and len(text) < 9 and row.number == int(text)
    ]
    found = found or [row for key, row in attempts.items() if len(text) >= 4 and key.startswith(text)]
    if len(found) != 1:
        many = f"{len(found)} attempts are called" if found else "There is no attempt"
        raise refuse(
            "missing", f"{many} {name[:40]!r} in this run.", "Use a number as `respool lineage RUN` shows it."
        )
    return found[0]


def tree(reader: Reader, run: RunRow, quiet: Quiet) -> dict[str, Any]:
    """The run's attempts as they hang together, and the orders that stand."""
    story = tell(reader, run.id, run.head)
    return {
        "entity": run.entity,
        "project": run.project,
        "run_id": run.run_id,
        "head": run.head,
        "last_step": number_or_none(story.last_step),
        "attempts": [_twig(story, run, row, quiet) for row in story.attempts.values()],
        "orders": [_plain(order) for order in reader.orders(run.id) if not order.undone],
    }


def _twig(story: Story, run: RunRow, row: AttemptRow, quiet: Quiet) -> dict[str, Any]:
    link = story.links[row.attempt_id]
    own = story.of(row.attempt_id)
    return {
        "attempt_id": row.attempt_id,
        "number": row.number,
        "state": state(row, quiet).value,
        "parent": row.parent,
        "head": row.attempt_id == run.head,
        "on_lineage": row.attempt_id in story.cuts,
        "branch": row.branch,
        "first_step": own.seen(link.first_steps[0]) if link.first_steps else None,
        "last_step": own.seen(number_or_none(link.last_step)),
        "cut": story.cuts.get(row.attempt_id),
        "hidden_from": own.seen(own.limit),
        "ordered": row.ordered,
        "rows": sum(writer.rows for writer in story.writers[row.attempt_id]),
        "node": row.node,
        "pid": row.pid,
        "identity": row.identity,
        "restart_count": row.restart_count,
    }


def _plain(order: OrderRow) -> dict[str, Any]:
    kept = order._asdict()
    return {key: kept[key] for key in ("id", "what", "attempt_id", "parent", "step", "by", "at")}


def _head(
    tx: Transaction, run: RunRow, attempts: dict[str, AttemptRow], attempt: AttemptRow
) -> dict[str, Any]:
    old = attempts.get(run.head or "")
    changed = [row for row in (attempt, old) if row is not None]
    marks = {row.attempt_id: _marks(row) for row in changed}
    if old is not None and old.attempt_id != attempt.attempt_id:
        tx.put_attempt(old._replace(was_head=True, superseded=not (old.ended or old.gone)))
    tx.put_attempt(attempt._replace(claimed=True, was_head=True, branch=False, superseded=False))
    tx.put_run(run._replace(head=attempt.attempt_id))
    return {"head": run.head, "attempts": {**_joined(tx, attempts, attempt.attempt_id), **marks}}


def _graft(
    tx: Transaction,
    run: RunRow,
    attempts: dict[str, AttemptRow],
    child: AttemptRow,
    parent: AttemptRow,
) -> dict[str, Any]:
    if child.attempt_id in {parent.attempt_id, *ancestors(attempts, parent.attempt_id)}:
        said = f"Attempt {parent.number} continues attempt {child.number}, which then cannot continue it."
        raise refuse("conflict", said, "Graft it somewhere else first.")
    grafted = child._replace(parent=parent.attempt_id, parent_known=True, branch=False)
    tx.put_attempt(grafted)
    found = _joined(tx, {**attempts, child.attempt_id: grafted}, run.head) if run.head else {}
    return {"attempts": {**found, child.attempt_id: _marks(child)}}


def _joined(tx: Transaction, attempts: dict[str, AttemptRow], head: str) -> dict[str, Any]:
    """What the head continues is no branch any more; how each was marked."""
    line = [attempts[name] for name in ancestors(attempts, head) if name in attempts]
    strays = [row for row in line if row.branch]
    for row in strays:
        tx.put_attempt(row._replace(branch=False))
    return {row.attempt_id: _marks(row) for row in strays}


def _cut(tx: Transaction, attempt: AttemptRow, step: int | None) -> dict[str, Any]:
    if step is not None and not 0 <= step < LAST_STEP:
        raise refuse("bad-request", f"The cut {step} is no step.", "Use a step from 0 on, or none.")
    tx.put_attempt(attempt._replace(ordered=NO_CUT if step is None else step))
    return {"attempts": {attempt.attempt_id: _marks(attempt)}}


def _undo(tx: Transaction, run: RunRow) -> OrderRow:
    standing = [order for order in tx.orders(run.id) if not order.undone]
    if not standing:
        raise refuse("missing", "No order stands that could be undone.", "See `respool lineage RUN`.")
    last = standing[-1]
    if last.what == "head" and run.head != last.attempt_id:
        raise _moved_on(tx, run, last)
    for attempt_id, marks in (last.before.get("attempts") or {}).items():
        row = tx.attempt(attempt_id)
        if row is not None:
            tx.put_attempt(row._replace(**{key: marks[key] for key in _CHANGES[last.what] if key in marks}))
    if "head" in last.before:
        tx.put_run(tx.run_of(run.id)._replace(head=last.before["head"]))
    tx.undo_order(last.id)
    return last._replace(undone=True)


def _moved_on(reader: Reader, run: RunRow, order: OrderRow) -> RefusalError:
    # The head is the trainer's who took it since: to undo what it built on would hide all that it logs.
    numbers = {row.attempt_id: row.number for row in reader.attempts(run.id)}
    made, now = numbers.get(order.attempt_id), numbers.get(run.head or "")
    said = f"The last order made attempt {made} the head, and attempt {now} has become it since."
    return refuse(
        "conflict", said, "If another is to be the head, say which: `respool lineage RUN --head N`."
    )


_CHANGES = {
    "head": ("claimed", "branch", "was_head", "superseded"),
    "graft": ("parent", "parent_known", "branch"),
    "cut": ("ordered",),
}
"""What of an attempt an order changes, and its undoing gives back. All else may have changed since."""


def _marks(row: AttemptRow) -> dict[str, Any]:
    return {name: getattr(row, name) for names in _CHANGES.values() for name in names}


def checked(body: dict[str, Any]) -> Wish:
    """An order from a JSON object. Raises RefusalError "bad-request"."""
    order, step = body.get("order"), body.get("step")
    texts = {name: body.get(name, "") for name in ("attempt", "parent")}
    good = isinstance(order, str) and order in ORDERS and (step is None or type(step) is int)
    if not good or not all(isinstance(text, (str, int)) for text in texts.values()):
        raise _unclear(order)
    if (order != "undo" and not texts["attempt"]) or (order == "graft" and not texts["parent"]):
        raise _unclear(order)
    return Wish(str(order), str(texts["attempt"]), str(texts["parent"]), step)


def _unclear(order: Any) -> RefusalError:
    advice = 'Send {"order": "head", "attempt"}, {"graft": "attempt", "parent"}, {"cut", "attempt", "step"} or "undo".'
    return refuse("bad-request", f"The order {order!r:.60} is not clear.", advice)
