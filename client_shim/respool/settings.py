"""`Settings`: the keyword object that W&B scripts pass to init(settings=...)."""

from __future__ import annotations

from typing import Any

from respool import notices
from respool.errors import UsageError

_DEFAULTS: dict[str, Any] = {
    "strict": False,
    "silent": None,
    "mode": None,
    "project": None,
    "entity": None,
    "run_id": None,
    "run_name": None,
    "run_notes": None,
    "run_tags": None,
    "run_group": None,
    "run_job_type": None,
    "resume": None,
    "root_dir": None,
    "init_timeout": 20.0,
    "console": None,
    "system": None,
    "about": None,
    "git": None,
    "disable_git": None,
    "x_disable_stats": None,
    "x_disable_meta": None,
}


class Settings:
    """Keywords in, attributes out. Known: strict (raise instead of warning), silent, mode, project, entity,
    run_id, run_name, run_notes, run_tags, run_group, run_job_type, resume, root_dir, init_timeout (seconds), and
    what is kept beside the rows unless False: console ("off" too), system, about, git; W&B's disable_git,
    x_disable_stats and x_disable_meta switch off the last three.
    Others are kept and have no effect, which is said once.
    """

    def __init__(self, **values: Any) -> None:
        foreign = sorted(set(values) - set(_DEFAULTS))
        if foreign:
            notices.warn("settings", f"settings without effect here: {', '.join(foreign)}")
        self.__dict__.update(_DEFAULTS)
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def settings_of(value: Any) -> Settings:
    """Settings from what init(settings=) was given: Settings, a dict or None. Raises UsageError."""
    if isinstance(value, Settings):
        return value
    if value is None:
        return Settings()
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return Settings(**value)
    raise UsageError(
        f"settings is {value!r:.80}, a {type(value).__name__}. Pass Settings(...) or a dict of names."
    )
