"""Callbacks for Keras 3, with the names and arguments of W&B's.

    import respool as wandb
    from respool.keras import WandbCallback

    run = wandb.init(project="p", resume=True)
    if wandb.run.resumed:
        model = keras.models.load_model(wandb.restore("model-best.h5").name)
    model.fit(x, y, initial_epoch=wandb.run.step, callbacks=[WandbCallback(save_model=True, monitor="loss")])

Importing this imports keras, which is the script's.
"""

from __future__ import annotations

from respool.keras.best_model import WandbCallback
from respool.keras.metrics import WandbMetricsLogger
from respool.keras.model_checkpoint import WandbModelCheckpoint

__all__ = ["WandbCallback", "WandbMetricsLogger", "WandbModelCheckpoint"]
