"""`WandbModelCheckpoint`: Keras's own ModelCheckpoint, whose files become versions of an artifact."""

from __future__ import annotations

import os
from typing import Any

import keras

from respool import notices
from respool.artifacts import Artifact
from respool.keras.current_run import the_run

_UNSAVEABLE = (ImportError, RuntimeError, TypeError, AttributeError, OSError, NotImplementedError)


class WandbModelCheckpoint(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """What Keras saves at `filepath` (its placeholders, `monitor`, `save_best_only`, `save_freq` as there) is logged
    as the next version of the artifact `run_ID_model`, with the aliases "latest" and epoch_N or epoch_N_batch_M.
    A model that was not saved this time is not logged again. A full disk is a warning, not an exception.
    """

    def __init__(self, filepath: Any, *args: Any, **options: Any) -> None:
        super().__init__(os.fspath(filepath), *args, **options)
        self.run = the_run("WandbModelCheckpoint")
        self._logged: tuple[str, int] | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if it is time, then log."""
        self._tried(lambda: super(WandbModelCheckpoint, self).on_train_batch_end(batch, logs))
        if self.save_freq != "epoch":
            self._log(self._current_epoch, batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if it is time, then log."""
        self._tried(lambda: super(WandbModelCheckpoint, self).on_epoch_end(epoch, logs))
        if self.save_freq == "epoch":
            self._log(epoch, None, logs)

    def _tried(self, save: Any) -> None:
        try:
            save()
        except _UNSAVEABLE as error:
            cause = f"the model cannot be saved: {error}"
            notices.misused("keras checkpoint", cause, "training goes on", "Pass another filepath")

    def _log(self, epoch: int, batch: int | None, logs: dict[str, Any] | None) -> None:
        try:
            path = str(self._get_file_path(epoch, batch, logs))
            this_one = (path, os.stat(path).st_mtime_ns)
        except (OSError, KeyError):
            return
        if this_one == self._logged:
            return
        self._logged = this_one
        alias = f"epoch_{epoch}" if batch is None else f"epoch_{epoch}_batch_{batch}"
        artifact = Artifact(f"run_{self.run.id}_model", "model")
        if os.path.isdir(path):
            artifact.add_dir(path)
        else:
            artifact.add_file(path)
        self.run.log_artifact(artifact, aliases=["latest", alias])
