"""What a node remembers of a run."""

from pathlib import Path

from respoold.core.memory import Memory
from respoold.io.journal import Journal


def test_a_memory_comes_back_for_its_user_and_its_run_only(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    memory = Memory("p", "r", "r", step=7, config={"lr": 0.1}, summary={"loss": float("inf")})
    journal.remember(1, memory)
    assert journal.recall(1, ("p", "r")) == memory
    assert journal.recall(2, ("p", "r")) is None
    assert journal.recall(1, ("p/r", "")) is None


def test_a_project_of_any_spelling_and_length_is_remembered(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    for project in ("ü" * 128, "a~b", "a b", ".."[:1]):
        journal.remember(1, Memory(project, "r" * 64, "r"))
        found = journal.recall(1, (project, "r" * 64))
        assert found is not None
        assert found.project == project


def test_a_memory_with_keys_that_json_has_not_is_kept_as_text(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.remember(1, Memory("p", "r", "r", summary={b"k": {(1, 2): 3}}))
    found = journal.recall(1, ("p", "r"))
    assert found is not None
    assert len(found.summary) == 1


def test_a_damaged_memory_is_none(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.remember(1, Memory("p", "r", "r"))
    (file,) = (tmp_path / "u1" / "journal").iterdir()
    for text in (
        "",
        "{",
        "[]",
        '{"project": 5}',
        '{"project": "p", "run_id": "r", "original_id": "r", "step": "x"}',
    ):
        file.write_text(text)
        assert journal.recall(1, ("p", "r")) is None
