"""The resume pattern of W&B's documentation, word for word but for the import, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch")

# https://docs.wandb.ai/guides/runs/resuming: the loop and its names are theirs; `die_at` is ours.
SCRIPT = """
import respool as wandb
import json, os, signal, sys
import torch
import torch.nn as nn
import torch.optim as optim

PROJECT_NAME = "pytorch-resume-run"
CHECKPOINT_PATH = "./checkpoint.tar"
N_EPOCHS = 100
die_at = int(sys.argv[1])

torch.manual_seed(1)
X = torch.randn(64, 8, requires_grad=True)
Y = torch.empty(64, 1).random_(2)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
metric = nn.BCELoss()
optimizer = optim.SGD(model.parameters(), lr=0.01)
epoch = 0
run = wandb.init(project=PROJECT_NAME, resume=True)
if wandb.run.resumed:
    checkpoint = torch.load(wandb.restore(CHECKPOINT_PATH))
    model.load_state_dict(checkpoint["model_state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    epoch = checkpoint["epoch"]
    loss = checkpoint["loss"]
print(json.dumps({"id": run.id, "resumed": run.resumed, "epoch": epoch, "step": run.step}), flush=True)

model.train()
while epoch < N_EPOCHS:
    optimizer.zero_grad()
    output = model(X)
    loss = metric(output, Y)
    wandb.log({"loss": loss.item()}, step=epoch)
    loss.backward()
    optimizer.step()

    torch.save(
        {  # Save our checkpoint loc
            "epoch": epoch,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "loss": loss,
        },
        CHECKPOINT_PATH,
    )
    wandb.save(CHECKPOINT_PATH)  # saves checkpoint to wandb
    if epoch == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    epoch += 1
"""


@pytest.fixture
def train(tmp_path):
    """Runs the script once in one folder, with no daemon; gives its exit status and what it said."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("RESPOOL_", "WANDB_"))
    }
    environ |= {"RESPOOL_MODE": "spool", "RESPOOL_FREE_FLOOR": "0", "XDG_STATE_HOME": str(tmp_path / "state")}

    def once(die_at):
        done = subprocess.run(
            [sys.executable, str(script), str(die_at)],
            cwd=tmp_path, env=environ, stdout=subprocess.PIPE, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    return once


def test_a_killed_training_continues_from_its_checkpoint_though_the_local_copy_is_gone(train, tmp_path):
    from respool.spool_history import attempts_of

    code, first = train(30)
    assert (code, first["resumed"], first["epoch"]) == (-signal.SIGKILL, False, 0)
    os.remove(tmp_path / "checkpoint.tar")
    code, second = train(60)
    assert code == -signal.SIGKILL
    assert second == {"id": first["id"], "resumed": True, "epoch": 30, "step": 31}
    os.remove(tmp_path / "checkpoint.tar")
    code, third = train(-1)
    assert (code, third["id"], third["epoch"]) == (0, first["id"], 60)

    attempts = attempts_of([str(tmp_path / "respool" / "spool")], "pytorch-resume-run", first["id"], None)
    assert [one.view.first_steps[0] for one in attempts] == [0, 30, 60]
    assert [one.next_step for one in attempts] == [31, 61, 100]
    assert (attempts[-1].view.state, attempts[-1].view.exit_code) == ("ended", 0)
    assert train(-1)[1]["id"] != first["id"]
