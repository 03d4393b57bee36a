"""Makes a saved `.h5` loadable: Keras 3 writes a loss "mse" as it was spelled, and cannot read that spelling back."""

from __future__ import annotations

import json
from typing import Any

import keras


def spell_out(path: str) -> None:
    """Write out the short names of losses and metrics in a model's file. Raises OSError or ImportError."""
    import h5py  # noqa: PLC0415 - Keras's own door to such files; absent, Keras has said so before

    with h5py.File(path, "r+") as file:
        text = file.attrs.get("training_config")
        if text is None:
            return
        config = json.loads(text)
        for key, known in (
            ("loss", keras.losses),
            ("metrics", keras.metrics),
            ("weighted_metrics", keras.metrics),
        ):
            config[key] = _spelled(config.get(key), known)
        file.attrs["training_config"] = json.dumps(config)


def _spelled(config: Any, known: Any) -> Any:
    if isinstance(config, str):
        return _long(config, known)
    if isinstance(config, list):
        return [_spelled(one, known) for one in config]
    if isinstance(config, dict) and "class_name" not in config:
        return {key: _spelled(one, known) for key, one in config.items()}
    return config


def _long(name: str, known: Any) -> str:
    try:
        return str(getattr(known.get(name), "__name__", name))
    except (ValueError, TypeError):
        return name
