"""The whole resume table, with no daemon: real processes and the local spool."""

from __future__ import annotations

import pytest

from resume_matrix import BEFORE, CALL, MATRIX, ROWS

JOB = {"SLURM_JOB_ID": "12", "ENVIRONMENT": "BATCH"}


def named(mode):
    return {} if mode == "auto" else {"id": "r"}


def prepare(start, mode, known, environ):
    """The run as the table has it; what its process said, None where there is no run."""
    if known == "missing":
        return None
    first = start(environ, resume=mode if mode == "auto" else "allow", log=ROWS, config=BEFORE, **named(mode),
                  code=int(known == "failed"))  # fmt: skip
    said = first.answer()
    if known == "crashed":
        first.kill()
    elif known != "running":
        first.end("finish")
    return said


@pytest.mark.parametrize("environ", [{}, JOB], ids=["alone", "job"])
@pytest.mark.parametrize(("mode", "known"), MATRIX)
def test_each_mode_with_each_state_of_the_run(start, mode, known, environ):
    expected = MATRIX[mode, known]
    before = prepare(start, mode, known, environ)
    trainer = start(environ, resume=mode, config=CALL, **named(mode))
    said = trainer.answer()
    words = said.get("error", "") + trainer.end("finish" if "id" in said else "")
    assert all(word in words for word in expected.words), words
    if expected.kind == "refused":
        assert "p/r" in said["error"]
        return
    assert (said["step"], said["config"]) == (expected.step, expected.config)
    assert said["resumed"] is (expected.kind == "resumed")
    if before is not None:
        assert (said["id"] == before["id"]) is (expected.kind != "new")
        assert said["attempt"] != before["attempt"]
