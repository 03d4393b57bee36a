"""Transformers' own WandbCallback, with respool in W&B's place: a tiny training that dies before a step, and
continues from its newest checkpoint. Its truth: a line for each row it logged of a step, `global_step loss`.
"""

import os
import signal
import sys
import warnings

from notes import Notes, parser

import respool

sys.modules["wandb"] = respool
warnings.simplefilter("ignore")

import torch  # noqa: E402 - only now is respool what they import
from transformers import Trainer, TrainerCallback, TrainingArguments  # noqa: E402

made = parser()
made.add_argument("--steps", type=int, default=40)
made.add_argument("--die-at", type=int, default=-1)
options = made.parse_args()
notes = Notes(options.truth)
notes.say("{}")  # init() is not ours to call; what it answered comes first in every truth
os.environ |= {"WANDB_PROJECT": options.project, "WANDB_RUN_ID": options.id, "WANDB_RESUME": "allow"}


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x=None, labels=None):
        found = self.layer(x)
        return {"loss": ((found - labels) ** 2).mean(), "logits": found}


class Die(TrainerCallback):
    def on_step_begin(self, args, state, control, **_):
        if state.global_step == options.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            notes.row(state.global_step, float(logs["loss"]))


torch.manual_seed(1)
data = [{"x": torch.randn(4), "labels": torch.randn(1)} for _ in range(400)]
arguments = TrainingArguments(
    output_dir="out",
    run_name="tiny",
    max_steps=options.steps,
    logging_steps=1,
    save_steps=10,
    eval_strategy="steps",
    eval_steps=10,
    report_to=["wandb"],
    per_device_train_batch_size=4,
    disable_tqdm=True,
    use_cpu=True,
)
trainer = Trainer(Tiny(), arguments, train_dataset=data, eval_dataset=data[:8], callbacks=[Die()])
trainer.train(resume_from_checkpoint=os.path.isdir("out") and bool(os.listdir("out")))
respool.finish()
