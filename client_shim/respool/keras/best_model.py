"""`WandbCallback`: a row an epoch, and the best model so far as a file of the run."""

from __future__ import annotations

import math
import os
from typing import Any

import keras

from respool import notices
from respool.keras.current_run import the_run
from respool.keras.spelling import spell_out

_UNSAVEABLE = (ImportError, RuntimeError, TypeError, ValueError, AttributeError, OSError, NotImplementedError)


class WandbCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: if `monitor` improved and `save_model`, the model is kept as `model-best.h5` of the run, where
    restore() finds it (weights alone as `model-best.weights.h5`, as Keras names them); then `epoch` and Keras's logs
    are one row. The model comes first: a script killed between the two trains that epoch again, from the better
    model. `mode` is "min", "max" or "auto". The best value goes on from the one a resumed run had.

    `log_weights` adds histograms of the weights, `log_batch_frequency` a row every so many batches. W&B's other
    arguments have no effect.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        verbose: int = 0,
        mode: str = "auto",
        save_weights_only: bool = False,
        log_weights: bool = False,
        log_gradients: bool = False,
        save_model: bool = True,
        training_data: Any = None,
        validation_data: Any = None,
        log_batch_frequency: int | None = None,
        log_best_prefix: str = "best_",
        **foreign: Any,
    ) -> None:
        super().__init__()
        self.run = the_run("WandbCallback")
        self.monitor = monitor
        self.verbose = verbose
        self.save_weights_only = save_weights_only
        self.log_weights = log_weights
        self.save_model = save_model
        self.log_batch_frequency = log_batch_frequency
        self.log_best_prefix = log_best_prefix
        self._rising = _rises(monitor, mode)
        self.best = self._best_so_far()
        self.filepath = os.path.join(
            self.run.dir, "model-best.weights.h5" if save_weights_only else "model-best.h5"
        )
        given = {"log_gradients": log_gradients, "training_data": training_data, **foreign}
        ignored = sorted(name for name, value in given.items() if value is not None and value is not False)
        if ignored or validation_data is not None:
            text = f"WandbCallback() arguments without effect here: {', '.join(ignored) or 'validation_data'}"
            notices.warn("keras arguments", text)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the model if it is better, then the row."""
        row = {"epoch": epoch, **(self._weights() if self.log_weights else {}), **(logs or {})}
        value = (logs or {}).get(self.monitor)
        if value is None:
            known = ", ".join(logs or {}) or "nothing"
            cause = f"WandbCallback(monitor={self.monitor!r}): the epoch logged {known}"
            notices.misused("keras monitor", cause, "no model is kept", "Name one of those")
        elif self._better(float(value)):
            if self.save_model:
                self._save(epoch, float(value))
            self.best = float(value)
            best = {f"{self.log_best_prefix}{self.monitor}": self.best, f"{self.log_best_prefix}epoch": epoch}
            if self.log_best_prefix:
                self.run.summary.update(best)
        self.run.log(row)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A row every `log_batch_frequency` batches."""
        if self.log_batch_frequency and batch % self.log_batch_frequency == 0:
            self.run.log(dict(logs or {}))

    def _best_so_far(self) -> float:
        known = self.run.summary.get(f"{self.log_best_prefix}{self.monitor}")
        if isinstance(known, (int, float)):
            return float(known)
        return -math.inf if self._rising else math.inf

    def _better(self, value: float) -> bool:
        return value > self.best if self._rising else value < self.best

    def _save(self, epoch: int, value: float) -> None:
        """Written aside and renamed, then kept: a version of the file is a whole model or is not there."""
        if self.run.disabled:
            return
        folder, name = os.path.split(self.filepath)
        aside = os.path.join(folder, f".{os.getpid()}-{name}")
        try:
            if self.save_weights_only:
                self.model.save_weights(aside, overwrite=True)
            else:
                self.model.save(aside, overwrite=True)
                spell_out(aside)
            os.replace(aside, self.filepath)
        except _UNSAVEABLE as error:
            self.save_model = False
            cause = f"the model cannot be saved as {name}: {error}"
            notices.misused("keras save", cause, "training goes on without", "Pass save_model=False")
            return
        if self.run.save(self.filepath, base_path=folder, policy="now") and self.verbose:
            notices.line(f"epoch {epoch}: {self.monitor} is {value:.5g}, the best so far; kept as {name}")

    def _weights(self) -> dict[str, Any]:
        from respool.media import Histogram  # noqa: PLC0415 - few log weights

        found = {}
        for layer in self.model.layers:
            for variable in layer.trainable_variables:
                array = keras.ops.convert_to_numpy(variable.value)
                found[f"parameters/{layer.name}.{variable.name}"] = Histogram(array)
        return found


def _rises(monitor: str, mode: str) -> bool:
    if mode not in {"auto", "min", "max"}:
        cause = f"WandbCallback(mode={mode!r}): known are auto, min, max"
        notices.misused("keras mode", cause, "auto it is", "Pass one of them")
        mode = "auto"
    return mode == "max" or (mode == "auto" and ("acc" in monitor or monitor.startswith("fmeasure")))
