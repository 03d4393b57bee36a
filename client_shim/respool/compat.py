"""The rest of W&B's surface: names that scripts may touch and that keep nothing here. One warning each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from respool import notices

NAMES = frozenset(
    """
    ArtifactTTL Classes EvalTable Graph JoinedTable agent agents analytics api attach box3d
    catboost controller ensure_configured gym helper join jupyter lightgbm log_code patched
    pin_config_keys profiler proto require sacred sagemaker_auth setup sklearn sweep teardown
    tensorboard tensorflow termsetup trigger visualize wandb_agent wandb_lib wandb_sdk wandb_torch xgboost
    """.split()  # noqa: SIM905 - as a list it is ninety lines
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
