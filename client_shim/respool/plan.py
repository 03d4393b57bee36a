"""What a call of init() amounts to: its arguments, then settings, then the environment, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from respool.environment import Environment, mode_of, read, resume_of
from respool.errors import UsageError
from respool.run_facts import Place
from respool.settings import Settings, settings_of
from respool.texts import fitting, tags_of, text_of
from respool.wire.identity import BadNameError, project_of, run_id_of

DEFAULT_PROJECT = "uncategorized"


class Plan(NamedTuple):
    """Everything decided before anyone is asked. `original_id` is the id as the user spelled it, None when the
    run has none yet.
    """

    project: str
    entity: str | None
    original_id: str | None
    resume: str
    meta: dict[str, Any]
    place: Place
    socket: str | None
    hub: str | None
    launch: str | None
    offline_must: bool
    takeover: bool
    join: bool
    silent: bool


def plan_of(arguments: Mapping[str, Any], environ: Mapping[str, str]) -> Plan:
    """Raises UsageError naming the argument or variable that cannot be used."""
    env = read(environ)
    settings = settings_of(arguments.get("settings"))
    original_id = text_of("id", _first(arguments.get("id"), settings.run_id, env.run_id))
    project = text_of(
        "project", _first(arguments.get("project"), settings.project, env.project, DEFAULT_PROJECT)
    )
    try:
        if original_id is not None:
            run_id_of(original_id)
        project = project_of(str(project))
    except BadNameError as error:
        raise UsageError(f"{error}.") from error
    return Plan(
        project=project,
        entity=_entity(_first(arguments.get("entity"), settings.entity, env.entity)),
        original_id=original_id,
        resume=_resume(arguments, settings, env),
        meta=_meta(arguments, settings, env),
        place=_place(arguments, settings, env),
        socket=env.socket,
        hub=text_of("RESPOOL_HUB_URL", env.hub),
        launch=text_of("RESPOOL_LAUNCH_ID", env.launch),
        offline_must=env.offline_must == "trust",
        takeover=bool(arguments.get("takeover")),
        join=bool(arguments.get("join")),
        silent=bool(_first(settings.silent, env.silent)),
    )


def _place(arguments: Mapping[str, Any], settings: Settings, env: Environment) -> Place:
    folder = _folder(_first(arguments.get("dir"), settings.root_dir, env.dir, os.getcwd()))
    spool = env.spool or os.path.join(folder, "respool", "spool")
    mode = _first(arguments.get("mode"), settings.mode)
    try:
        chosen = mode_of(str(mode)) if mode is not None else env.mode or "online"
    except ValueError as error:
        raise UsageError(f"mode is {mode!r:.80}, which means nothing here. Pass {error}.") from None
    stop = arguments.get("on_superseded") or "warn"
    if stop not in ("warn", "stop"):
        raise UsageError(f"on_superseded is {stop!r:.80}. Pass 'warn' or 'stop'.")
    return Place(folder, os.path.abspath(spool), chosen, settings, stop, _watched(settings, env))


def _watched(settings: Settings, env: Environment) -> frozenset[str]:
    """What is kept beside the rows. W&B's settings say what is not."""
    refused = {
        "git": settings.disable_git,
        # W&B wrote them with an underscore alone before.
        "system": settings.x_disable_stats or settings._disable_stats,
        "about": settings.x_disable_meta or settings._disable_meta,
    }
    found = set()
    for name in ("console", "system", "about", "git"):
        said = _first(
            getattr(settings, name), not refused[name] if refused.get(name) else None, getattr(env, name)
        )
        if said is None or (said and str(said).lower() not in {"off", "false", "0"}):
            found.add(name)
    return frozenset(found)


def _resume(arguments: Mapping[str, Any], settings: Settings, env: Environment) -> str:
    given = _first(arguments.get("resume"), settings.resume)
    if given is None:
        return env.resume or "none"
    try:
        return resume_of(given)
    except ValueError as error:
        raise UsageError(f"resume is {given!r:.80}, which means nothing here. Pass {error}.") from None


def _meta(arguments: Mapping[str, Any], settings: Settings, env: Environment) -> dict[str, Any]:
    tags = _first(arguments.get("tags"), settings.run_tags, env.tags)
    found = {
        "name": text_of("name", _first(arguments.get("name"), settings.run_name, env.name)),
        "notes": text_of("notes", _first(arguments.get("notes"), settings.run_notes, env.notes)),
        "tags": None if tags is None else tags_of(tags),
        "group": text_of("group", _first(arguments.get("group"), settings.run_group, env.group)),
        "job_type": text_of(
            "job_type", _first(arguments.get("job_type"), settings.run_job_type, env.job_type)
        ),
    }
    given = {key: value for key, value in found.items() if value is not None}
    return fitting(given, strict=bool(settings.strict))


def _entity(value: Any) -> str | None:
    entity = text_of("entity", value)
    try:
        return project_of(entity, "entity") if entity else entity
    except BadNameError as error:
        raise UsageError(f"{error}.") from error


def _folder(value: Any) -> str:
    try:
        path = os.fsdecode(value)
        if "\0" in os.fsdecode(os.fsencode(path)):
            raise UsageError(f"dir is {path!r:.80}, which holds a NUL. Pass a path.")
    except (TypeError, UnicodeEncodeError):
        kind = type(value).__name__
        raise UsageError(f"dir is {value!a:.80}, of type {kind}, which is no path. Pass one.") from None
    return os.path.abspath(path)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
