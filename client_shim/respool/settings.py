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
    "reinit": None,
    "init_timeout": 20.0,
    "handle_sigterm": False,
    "console": None,
    "system": None,
    "about": None,
    "git": None,
    "disable_git": None,
    "x_disable_stats": None,
    "x_disable_meta": None,
}

_HARMLESS = frozenset(
    """
    allow_offline_artifacts allow_val_change anonymous app_url_override capture_loggers code_dir config_paths
    console_multipart credentials_file disable_code disable_git_fork_point disable_job_creation docker email
    finish_timeout_raises git_root host job_name job_source label_disable launch launch_config_path login_timeout
    notebook_name organization program program_abspath program_relpath quiet relogin save_code settings_system
    show_colors show_emoji show_errors show_info show_warnings start_method stop_on_fatal_error summary_timeout
    summary_warnings symlink table_raise_on_max_row_limit_exceeded use_dot_wandb username
    """.split()  # noqa: SIM905 - as a list it is sixty lines
)
"""Of W&B's: without effect here, and nobody who sets one is misled by that."""

_HARMLESS_PREFIXES = ("x_", "_")


def _misleads(name: str) -> bool:
    return name not in _DEFAULTS and name not in _HARMLESS and not name.startswith(_HARMLESS_PREFIXES)


class Settings:
    """Keywords in, attributes out. Known: strict (raise instead of warning), silent, mode, project, entity,
    run_id, run_name, run_notes, run_tags, run_group, run_job_type, resume, root_dir, init_timeout (seconds), reinit
    (as in init()), handle_sigterm (mark the run as preempting: see Run.on_preempt), and what is kept beside the
    rows unless False: console ("off" too), system, about, git; W&B's disable_git, x_disable_stats and
    x_disable_meta switch off the last three. Others are kept and have no effect: W&B's own tuning silently, the
    rest with one warning.
    """

    def __init__(self, **values: Any) -> None:
        foreign = sorted(name for name in values if _misleads(name))
        if foreign:
            notices.warn(f"settings {foreign}", f"settings without effect here: {', '.join(foreign)}")
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
        f"settings is {value!r:.80}, of type {type(value).__name__}. Pass Settings(...) or a dict of names."
    )
