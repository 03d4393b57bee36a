"""The rest of W&B's surface: names that scripts may touch and that keep nothing here. One warning each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from respool import notices

NAMES = frozenset(
    """
    ArtifactTTL Classes EvalTable Graph JoinedTable agents analytics api attach box3d catboost
    controller gym helper join jupyter lightgbm log_code patched pin_config_keys profiler proto sacred
    sagemaker_auth sklearn tensorboard tensorflow trigger visualize wandb_agent wandb_lib wandb_sdk
    wandb_torch xgboost
    """.split()  # noqa: SIM905 - as a list it is ninety lines
)


OF_MEDIA = frozenset(
    """
    MAX_ARTIFACT_ROWS MAX_DIMENSION MAX_ITEMS add_computed_columns all_boxes all_captions all_masks bind_to_run captions
    cast file_is_set from_json get_media_subdir guess_mode has_been_logged image index_ref init_from_json is_bound
    path_is_reference seq_to_json set_fk set_pk to_data_array to_json type_mapping with_suffix
    """.split()  # noqa: SIM905 - as above
)


class Absent:
    """Stands for something that is not there: takes any call, attribute, item, loop or `with`, and is false."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A decorator (`@wandb.something`) must give the function back.
        if len(args) == 1 and not kwargs and callable(args[0]) and not isinstance(args[0], type):
            return args[0]
        return Absent(f"{self._name}()")

    def __getitem__(self, key: Any) -> Absent:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __instancecheck__(self, instance: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<respool: no {self._name}>"


def absent(name: str) -> Absent:
    """The stand-in for W&B's `name`, with one warning that it keeps nothing."""
    notices.warn(f"absent {name}", f"{name} has no effect in respool; what is passed to it is not kept.")
    return Absent(name)


def module_of(package: str, name: str) -> Any:
    """The module `name` of one of our packages, or the stand-in for W&B's. Raises AttributeError for private names."""
    from importlib import import_module  # noqa: PLC0415 - only for who asks

    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return import_module(f"respool.{package}.{name}")
    except ImportError:
        return absent(f"{package}.{name}")


def absent_of(kind: str, name: str) -> Absent:
    """The stand-in for what W&B's media of this kind have. Raises AttributeError for any other name: libraries tell
    arrays and figures by their attributes.
    """
    if name in OF_MEDIA:
        return absent(f"{kind}.{name}")
    raise AttributeError(f"{kind} has no attribute {name!r}")
