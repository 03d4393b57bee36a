"""Media, alerts and artifacts with real processes: what log() and log_artifact() have returned for survives."""

from __future__ import annotations

import json

from e2e.sites import PROJECT, Site
from respool.wire.limits import MAX_NOTES, MAX_TAG


def test_media_alert_and_artifact_of_a_killed_trainer_are_at_the_hub_and_another_node_uses_them() -> None:
    with Site() as site:
        site.open()
        other = site.add_node("b")
        site.give_keys()
        other.daemon.start()
        maker = site.node.train("surface.py", id="maker", die="1")
        maker.process.wait(60)
        run = site.drained(run_id="maker")
        (alert,) = run["alerts"]
        assert (alert["title"], alert["level"]) == ("Look", "ERROR")
        assert f"daemon {site.node.socket}" in maker.process.words(), "what was said filled the link to it"
        assert (len(run["notes"]), [len(tag) for tag in run["tags"]]) == (MAX_NOTES, [MAX_TAG])
        assert run["config"] == {"lr": 0.1, "all": "<5242890 bytes, too much for a config>"}
        assert run["summary"]["best"] == {"epoch": 1, "loss": 1.0}
        assert run["summary"]["val/acc"] == 0.5, "the first, as its name's beginning is defined"
        (row,) = site.view.history(PROJECT, "maker")
        assert json.loads(site.view.file(PROJECT, "maker", row["table"]["path"])) == {
            "columns": ["a"],
            "data": [[1]],
        }
        assert site.view.file(PROJECT, "maker", row["page"]["path"]) == b"<p>"
        assert site.view.file(PROJECT, "maker", "artifacts/model/v0/model.bin") == b"weights of maker"
        shown = site.node.call("show", f"{PROJECT}/maker")
        assert "Look: at this" in shown.stdout
        for use in ("model:best", f"{PROJECT}/maker/model:v0"):
            life = other.train("surface.py", id="user", use=use)
            life.process.wait(60)
            said = [json.loads(line) for line in life.process.lines() if line.startswith("{")]
            assert said == [{"used": "model:v0", "text": "weights of maker"}], life.process.words()
