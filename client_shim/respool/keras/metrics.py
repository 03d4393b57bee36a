"""`WandbMetricsLogger`: Keras's metrics under epoch/ or batch/."""

from __future__ import annotations

from typing import Any

import keras

from respool.keras.current_run import the_run

_NO_RATE = (TypeError, ValueError, AttributeError, RuntimeError)


class WandbMetricsLogger(keras.callbacks.Callback):  # type: ignore[misc]
    """A row per epoch (`epoch/...` over `epoch/epoch`), or with `log_freq` "batch" or a number, per so many batches
    too (`batch/...` over `batch/batch_step`), with the learning rate. `initial_global_step` is where a schedule of
    the learning rate goes on after a resume.
    """

    def __init__(
        self, log_freq: str | int = "epoch", initial_global_step: int = 0, *_: Any, **__: Any
    ) -> None:
        super().__init__()
        self.run = the_run("WandbMetricsLogger")
        self.log_freq = 1 if log_freq == "batch" else log_freq if isinstance(log_freq, int) else None
        self.global_batch = 0
        self.global_step = initial_global_step
        axis = "epoch/epoch" if self.log_freq is None else "batch/batch_step"
        self.run.define_metric(axis)
        self.run.define_metric(f"{axis.partition('/')[0]}/*", step_metric=axis)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """A row of the epoch."""
        self.run.log({**_under("epoch", logs), "epoch/epoch": epoch, **self._rate("epoch")})

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A row of the batch, if it is one's turn."""
        self.global_step += 1
        if self.log_freq is not None and batch % self.log_freq == 0:
            row = {**_under("batch", logs), "batch/batch_step": self.global_batch}
            self.run.log({**row, **self._rate("batch")})
            self.global_batch += self.log_freq

    def _rate(self, prefix: str) -> dict[str, float]:
        try:
            rate = self.model.optimizer.learning_rate
            rate = rate(self.global_step) if callable(rate) else rate
            return {f"{prefix}/learning_rate": float(keras.ops.convert_to_numpy(rate))}
        except _NO_RATE:
            return {}


def _under(prefix: str, logs: dict[str, Any] | None) -> dict[str, Any]:
    return {f"{prefix}/{key}": value for key, value in (logs or {}).items()}
