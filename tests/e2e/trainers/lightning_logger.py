"""Lightning's own WandbLogger, with respool in W&B's place: a tiny training that dies before a batch, and
continues from its newest checkpoint. Its truth: a line for each batch, `global_step loss`, once it was trained.
"""

import os
import signal
import sys
import warnings

from notes import Notes, parser

import respool

sys.modules["wandb"] = respool
warnings.simplefilter("ignore")

import lightning.pytorch.loggers.wandb as of_lightning  # noqa: E402 - only now is respool what it imports
import torch  # noqa: E402
from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

# It asks the package index's metadata whether W&B is installed, and that is what respool stands in for.
of_lightning._WANDB_AVAILABLE = True

made = parser()
made.add_argument("--steps", type=int, default=40)
made.add_argument("--die-at", type=int, default=-1)
options = made.parse_args()
notes = Notes(options.truth)
notes.say("{}")  # init() is not ours to call; what it answered comes first in every truth


class Tiny(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.save_hyperparameters({"lr": 0.01})

    def loss(self, batch):
        inputs, wanted = batch
        return ((self.layer(inputs) - wanted) ** 2).mean()

    def training_step(self, batch, index):
        if self.global_step == options.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = self.loss(batch)
        self.log("loss", loss)
        notes.row(self.global_step, loss.item())
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def newest():
    steps = [int(name.removesuffix(".ckpt")) for name in os.listdir("kept")] if os.path.isdir("kept") else []
    return f"kept/{max(steps)}.ckpt" if steps else None


torch.manual_seed(1)
data = TensorDataset(torch.randn(400, 4), torch.randn(400, 1))
trainer = Trainer(
    max_steps=options.steps,
    accelerator="cpu",
    logger=of_lightning.WandbLogger(project=options.project, id=options.id),
    callbacks=[
        ModelCheckpoint(
            "kept", "{step}", every_n_train_steps=10, save_top_k=-1, auto_insert_metric_name=False
        )
    ],
    log_every_n_steps=1,
    val_check_interval=10,
    num_sanity_val_steps=0,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Tiny(), DataLoader(data, batch_size=4), DataLoader(data, batch_size=400), ckpt_path=newest())
respool.finish()
