"""`wandb.env`, as far as scripts use it: they set project and entity for the next init() with it."""

from __future__ import annotations

import os


def set_project(value: str) -> None:
    """The project of later init() calls that name none."""
    os.environ["RESPOOL_PROJECT"] = str(value)


def set_entity(value: str) -> None:
    """The entity of later init() calls that name none."""
    os.environ["RESPOOL_ENTITY"] = str(value)


def get_project(default: str | None = None) -> str | None:
    """The project that the environment names."""
    return os.environ.get("RESPOOL_PROJECT") or os.environ.get("WANDB_PROJECT") or default


def get_entity(default: str | None = None) -> str | None:
    """The entity that the environment names."""
    return os.environ.get("RESPOOL_ENTITY") or os.environ.get("WANDB_ENTITY") or default
