"""W&B's documented resume pattern, as its users write it, with pickle in torch's place. No id is given.

Arguments: the file for notes, the epoch to die at (-1: none), the epochs in all.
"""

import os
import pickle
import signal
import sys

from notes import Notes, value_of

import respool as wandb

CHECKPOINT_PATH = "./checkpoint.tar"
truth, die_at, N_EPOCHS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

epoch, state = 0, {"weights": b"\0" * 100_000}
wandb.init(project="pattern", resume=True)
notes = Notes(truth)
notes.begun(wandb.run, 0.0)
if wandb.run.resumed:
    checkpoint = pickle.load(wandb.restore(CHECKPOINT_PATH))
    state, epoch = checkpoint["state"], checkpoint["epoch"]
    assert state["weights"][:8] == epoch.to_bytes(8, "big"), "another epoch's checkpoint"
    notes.remark(f"restored {epoch}")

while epoch < N_EPOCHS:
    value = value_of(wandb.run.attempt_id, epoch)
    wandb.log({"value": value}, step=epoch)
    notes.row(epoch, value)
    state["weights"] = epoch.to_bytes(8, "big") + os.urandom(100_000)
    with open(CHECKPOINT_PATH, "wb") as file:
        pickle.dump({"epoch": epoch, "state": state}, file)
    wandb.save(CHECKPOINT_PATH)
    if epoch == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    epoch += 1
