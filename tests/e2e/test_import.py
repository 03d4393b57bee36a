"""A run that is exported and imported again is the run that it was."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site


def done(site: Site, *words: str, code: int = 0) -> str:
    answer = site.node.call(*words)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def shown(site: Site, run_id: str) -> dict[str, Any]:
    found = site.view.show(PROJECT, run_id)
    assert found is not None
    return found


@pytest.mark.slow
def test_an_imported_run_has_the_rows_config_summary_and_files_that_it_had(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=200)
    assert life.process.wait() == 0
    until(lambda: site.view.state(PROJECT, RUN) == "finished", "the run at the hub", why=site.words)
    site.drained()
    out = site.path("out")
    done(site, "export", RUN, "-o", out)
    folder = os.path.join(out, "admin", PROJECT, RUN)
    assert "There is a run admin/e2e/run-1" in done(site, "import", folder, code=2)
    before, rows = shown(site, RUN), site.view.history(PROJECT, RUN)
    assert len(rows) == 200
    for _ in range(2):  # an import that is said again changes nothing
        done(site, "import", folder, "--id", "copy")
        after = shown(site, "copy")
        assert (after["state"], after["last_step"], after["rows"]) == ("finished", 199, 200)
        assert (after["config"], after["summary"]) == (before["config"], before["summary"])
        assert abs(after["created_at"] - before["created_at"]) < 5.0, "not when it was imported"
        assert [attempt["exit_code"] for attempt in after["attempts"]] == [0]
        assert site.view.history(PROJECT, "copy") == rows
    done(site, "delete", f"{PROJECT}/{RUN}", "--yes")
    told = json.loads(done(site, "import", folder, "--json"))
    assert told["sent"] is True
    assert site.view.history(PROJECT, RUN) == rows
