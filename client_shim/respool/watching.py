"""`watch()`: histograms of a torch model's gradients and parameters, every `log_freq`-th pass.

Gradients of one backward pass become one row, written when all have come, or with the next forward pass if
some never do. torch is the script's: this module never imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from respool import notices

BINS = 64
LOGS = (None, "gradients", "parameters", "all")
_TROUBLE = (RuntimeError, TypeError, ValueError, AttributeError)

Log = Callable[[dict[str, Any]], None]


class Watch:
    """The hooks of one model. `log` takes a row that belongs to the present step; `remove` takes them away."""

    def __init__(self, model: Any, log: Log, what: str | None, every: int, prefix: str) -> None:
        self.model = model
        self._log = log
        self._every = max(int(every), 1)
        self._prefix = prefix
        self._passes = 0
        self._row: dict[str, Any] = {}
        self._seen: dict[str, int] = {}
        self._handles: list[Any] = []
        self._parameters = what in {"parameters", "all"}
        if what in {"gradients", "all"}:
            self._hook_gradients()
        if what is not None:
            self._handles.append(model.register_forward_hook(self._passed))

    def remove(self) -> None:
        """Take every hook away; a row that is gathered is written."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._flush()

    def _hook_gradients(self) -> None:
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                self._seen[name] = 0
                self._handles.append(parameter.register_hook(self._gradient_hook(name)))

    def _gradient_hook(self, name: str) -> Callable[[Any], None]:
        def hook(gradient: Any) -> None:
            self._seen[name] += 1
            if self._seen[name] % self._every == 0:
                self._gather(f"gradients/{self._prefix}{name}", gradient)
                if len(self._row) == len(self._seen):
                    self._flush()

        return hook

    def _passed(self, module: Any, *_: Any) -> None:
        self._flush()
        self._passes += 1
        if self._parameters and module.training and self._passes % self._every == 0:
            row = {}
            for name, parameter in module.named_parameters():
                found = self._tried(parameter)
                if found is not None:
                    row[f"parameters/{self._prefix}{name}"] = found
            if row:
                self._log(row)

    def _gather(self, key: str, tensor: Any) -> None:
        found = self._tried(tensor)
        if found is not None:
            self._row[key] = found

    def _flush(self) -> None:
        if self._row:
            row, self._row = self._row, {}
            self._log(row)

    def _tried(self, tensor: Any) -> dict[str, Any] | None:
        try:
            return histogram(tensor)
        except _TROUBLE as error:
            notices.warn(f"watch {error}", f"watch() cannot read a tensor: {error}; training goes on.")
            return None


def histogram(tensor: Any) -> dict[str, Any] | None:
    """Counts and edges of a tensor's finite values, counted where the tensor is; None without any."""
    values = tensor.detach()
    values = (values.coalesce().values() if values.is_sparse else values).float().flatten()
    values = values[values.isfinite()]
    if values.numel() == 0:
        return None
    low, high = float(values.min()), float(values.max())
    if not isfinite(high - low):
        return None
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = values.histc(bins=BINS, min=low, max=high).tolist()
    width = (high - low) / BINS
    edges = [low + width * index for index in range(BINS)] + [high]
    return {"_type": "histogram", "values": counts, "bins": edges}


def models_of(models: Any) -> list[Any]:
    """The torch modules of what was passed to watch(); the rest is warned of."""
    given = list(models) if isinstance(models, (list, tuple)) else [models]
    found = [
        one for one in given if hasattr(one, "named_parameters") and hasattr(one, "register_forward_hook")
    ]
    for one in given:
        if one not in found:
            cause = f"watch() takes torch modules, not {type(one).__name__}"
            notices.misused("watch model", cause, "it is ignored", "Pass a torch.nn.Module")
    return found
