"""The RUN argument: RUN_ID, PROJECT/RUN_ID or ENTITY/PROJECT/RUN_ID, made whole by the hub."""

from __future__ import annotations

from argparse import ArgumentParser
from difflib import get_close_matches
from typing import Any, NamedTuple

from respool.wire.identity import BadNameError, run_id_of, split_run_path
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub, run_url
from respoold.cli.words import clean

NEAR = 5
LOOK_AT = 500


class RunPath(NamedTuple):
    """A run's whole name."""

    entity: str
    project: str
    run_id: str

    def __str__(self) -> str:
        return "/".join(self)

    def url(self, *rest: str) -> str:
        return run_url(*self, *rest)


def add_run_argument(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="RUN_ID, PROJECT/RUN_ID or ENTITY/PROJECT/RUN_ID")


def resolve(hub: Hub, text: str) -> RunPath:
    """The run that a text names. Raises CommandError: for none with what is near, for several with all."""
    try:
        entity, project, original = split_run_path(text)
        run_id = run_id_of(original)
    except BadNameError as error:
        raise CommandError(Exit.USAGE, f"{error}.", "`respool runs` lists what there is.") from error
    found = _paths(hub.get("/v1/runs", entity=entity, project=project, run_id=run_id, limit=LOOK_AT))
    matches = [path for path in found if path.run_id == run_id]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise _unknown(hub, text, original)
    listed = "".join(f"\n    {clean(str(path))}" for path in matches)
    advice = f"Say which one, by more of its path:{listed}"
    raise CommandError(Exit.USAGE, f"The run {text!r} is the name of {len(matches)} runs.", advice)


def _paths(answer: dict[str, Any]) -> list[RunPath]:
    runs = answer.get("runs") or []
    return [RunPath(str(run["entity"]), str(run["project"]), str(run["run_id"])) for run in runs]


def _unknown(hub: Hub, text: str, original: str) -> CommandError:
    """Near by run id or, where a project was misspelt, by the whole path."""
    cause = f"There is no run {text!r} at {hub.address.url}."
    paths = _paths(hub.get("/v1/runs", limit=LOOK_AT))
    by_id = {path.run_id: path for path in paths} | {f"{path.project}/{path.run_id}": path for path in paths}
    close = get_close_matches(text, by_id, n=NEAR, cutoff=0.6) + get_close_matches(
        original, by_id, n=NEAR, cutoff=0.6
    )
    near = list(dict.fromkeys(str(by_id[name]) for name in close))[:NEAR]
    if near:
        listed = "".join(f"\n    {clean(path)}" for path in near)
        return CommandError(Exit.USAGE, cause, f"Did you mean:{listed}")
    return CommandError(Exit.USAGE, cause, "`respool runs` lists what there is.")
