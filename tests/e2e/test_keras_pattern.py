"""The Keras resume pattern of W&B's documentation, word for word but for its imports, killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

from e2e.processes import until
from e2e.sites import Site

# Looked for, not imported: Keras is only importable where its backend is named.
if any(find_spec(name) is None for name in ("keras", "h5py", "torch")):
    pytest.skip("needs keras, h5py and torch", allow_module_level=True)

PROJECT, EPOCHS = "preemptible", 300

# https://docs.wandb.ai/guides/runs/resuming: theirs but for the two lines that name respool.
SCRIPT = """
import keras
import numpy as np
import respool as wandb
from respool.keras import WandbCallback

wandb.init(project="preemptible", resume=True)

if wandb.run.resumed:
    # restore the best model
    model = keras.models.load_model(wandb.restore("model-best.h5").name)
else:
    a = keras.layers.Input(shape=(32,))
    b = keras.layers.Dense(10)(a)
    model = keras.models.Model(inputs=a, outputs=b)

model.compile("adam", loss="mse")
model.fit(np.random.rand(100, 32), np.random.rand(100, 10),
    # set the resumed epoch
    initial_epoch=wandb.run.step, epochs=300,
    # save the best model if it improved each epoch
    callbacks=[WandbCallback(save_model=True, monitor="loss")])
"""


@pytest.mark.slow
def test_a_killed_keras_script_goes_on_with_its_best_model_where_it_was() -> None:
    with Site() as site:
        site.open()
        script = os.path.join(site.node.work, "train.py")
        with open(script, "w") as file:
            file.write(SCRIPT)
        environ = site.node.environ | {"KERAS_BACKEND": "torch", "PYTHONWARNINGS": "default"}
        first = site.process("keras-1", [sys.executable, script], environ)
        first.cwd = site.node.work
        first.launch()
        run = until(lambda: _reached(site, 20), "twenty epochs", 60.0, site.words)
        first.signal(signal.SIGKILL)
        first.wait()
        again = subprocess.run(
            [sys.executable, script],
            env=environ,
            cwd=site.node.work,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert again.returncode == 0, again.stderr
        assert "resumed at step" in again.stderr
        shown = site.drained(project=PROJECT, run_id=run["run_id"])
        assert [one["state"] for one in shown["attempts"]] == ["crashed", "finished"]
        before, after = shown["attempts"]
        assert after["first_step"] == before["last_step"] + 1 > 20
        history = site.view.history(PROJECT, run["run_id"])
        assert [(row["_step"], row["epoch"]) for row in history] == [(step, step) for step in range(EPOCHS)]
        assert shown["summary"]["best_loss"] == min(row["loss"] for row in history)
        assert site.view.file(PROJECT, run["run_id"], "model-best.h5")[:4] == b"\x89HDF"


def _reached(site: Site, step: int) -> dict | None:
    status = site.node.status() or {}
    for run in status.get("runs", []):
        shown = site.view.show(run["project"], run["run_id"])
        if shown is not None and (shown["last_step"] or 0) >= step:
            return shown
    return None
