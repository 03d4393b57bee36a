"""The demo's counting and its picture: they must see what is wrong, else the demo proves nothing."""

from typing import Any

from respoold.cli.demo.check import history_claims, record_claims, repeated
from respoold.cli.demo.ending import owners, span
from respoold.cli.demo.picture import Mark, draw
from respoold.cli.demo.play import EVERY, cues_of
from respoold.cli.demo.truth import Logged, last, read
from respoold.cli.screen import columns_of

FIRST = [Logged(step, 2.0 - step / 10, 0.1) for step in range(8)]
SECOND = [Logged(step, 2.0 - step / 10, 0.1) for step in range(5, 12)]
TRUTHS = [FIRST, SECOND]


def history() -> list[dict[str, Any]]:
    rows = [row for row in FIRST if row.step < 5] + SECOND
    return [{"_step": row.step, "_runtime": 1.0, "loss": row.loss, "accuracy": row.accuracy} for row in rows]


def records() -> list[dict[str, Any]]:
    pairs = [(1, row) for row in FIRST] + [(2, row) for row in SECOND]
    return [{"_attempt": number, "_step": row.step, "loss": row.loss} for number, row in pairs]


def holds(claims: list[Any]) -> bool:
    return all(claim.holds for claim in claims)


def test_a_whole_history_passes() -> None:
    assert holds(history_claims(TRUTHS, history(), 12))
    assert holds(record_claims(TRUTHS, records()))


def test_every_kind_of_damage_to_a_history_is_seen() -> None:
    good = history()
    damaged = [
        good[:3] + good[4:],
        good[:4] + good[3:],
        [good[1], good[0], *good[2:]],
        [*good[:-1], good[-1] | {"loss": good[-1]["loss"] + 1e-12}],
        good[:-1],
        [*good, good[-1] | {"_step": 12}],
    ]
    assert not any(holds(history_claims(TRUTHS, rows, 12)) for rows in damaged)


def test_a_record_that_is_missing_or_double_is_seen_although_the_history_hides_it() -> None:
    hidden = {"_attempt": 1, "_step": 6}
    missing = [row for row in records() if not hidden.items() <= row.items()]
    assert not holds(record_claims(TRUTHS, missing))
    assert not holds(record_claims(TRUTHS, [*records(), records()[6]]))


def test_one_row_a_kill_may_be_logged_without_a_note_and_no_more() -> None:
    extra = [{"_attempt": 1, "_step": 8 + at, "loss": 0.0} for at in range(2)]
    assert holds(record_claims(TRUTHS, records() + extra[:1]))
    assert not holds(record_claims(TRUTHS, records() + extra))


def test_a_repeated_step_that_comes_out_differently_is_counted() -> None:
    assert repeated(TRUTHS) == (3, 3)
    assert repeated([FIRST, [SECOND[0]._replace(loss=9.0), *SECOND[1:]]]) == (3, 2)


def test_the_history_belongs_to_the_last_who_logged_a_step() -> None:
    whose = owners(TRUTHS)
    assert [whose[step] for step in (4, 5, 11)] == [1, 2, 2]
    assert span([step for step, owner in whose.items() if owner == 1]) == "0 - 4"


def test_a_note_cut_by_a_kill_is_not_read(tmp_path: Any) -> None:
    path = tmp_path / "truth"
    path.write_text('{"step": 0, "loss": 1.5, "accuracy": 0.5}\n{"step": 1, "lo')
    assert read(str(path)) == [Logged(0, 1.5, 0.5)]
    assert last(str(path)) == Logged(0, 1.5, 0.5)
    assert last(str(tmp_path / "none")) is None


def test_the_picture_fits_and_names_every_mark() -> None:
    points = [(step, 2.5 / (1 + step / 50)) for step in range(1200)]
    marks = [Mark(335, "trainer"), Mark(504, "daemon"), Mark(744, "hub"), Mark(1190, "trainer")]
    lines = draw(points, marks, 80, "loss")
    assert max(map(columns_of, lines)) <= 80
    assert "".join(lines).count("╂") == 4
    assert [" ".join(lines).count(name) for name in ("trainer", "daemon", "hub")] == [2, 1, 1]


def test_the_play_kills_no_trainer_right_behind_a_checkpoint_and_keeps_its_order() -> None:
    for steps in (400, 1200, 5000):
        cues = cues_of(steps)
        assert list(cues) == sorted(cues)
        assert cues.hub_back < steps
        assert {cues.trainer % EVERY, cues.trainer_again % EVERY} == {EVERY * 7 // 10}
