"""Attaching: from a plan to a keeper. Asks the daemon; when none answers, makes the attempt in the local spool.

A refusal that the user must decide about (the run exists, is missing, lives elsewhere, belongs to somebody
else) is raised. Everything else, a daemon that hangs or has no room included, ends in the local spool with a
line that says where.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from respool import notices
from respool.errors import LiveRunError, UsageError
from respool.keeper import Keeper
from respool.launch import VARIABLE, launch_of
from respool.link import Link, LinkError, candidates, close_all
from respool.own_daemons import registered_spools
from respool.own_key import key_for
from respool.plan import Plan
from respool.process import program
from respool.request import auto, request_of
from respool.segment_writer import Opened
from respool.tether import Tether
from respool.util import generate_id
from respool.wire.attempt import Request
from respool.wire.connection import Received
from respool.wire.identity import run_id_of
from respool.wire.limits import HANDSHAKE_SECONDS
from respool.wire.messages import Attach, Attached, Refused, Waiting

if TYPE_CHECKING:
    from respool.state_file import StateFile

GREETING_SECONDS = 5.0
RETURN_SECONDS = 5.0
_DECIDED = frozenset({"exists", "missing", "live", "forbidden", "conflict", "bad-request"})
_UNSURE = object()
"""A daemon that took the request and gave no answer may have made the attempt all the same: the one in the local
spool must be another, so it is another launch's."""


def attach(plan: Plan, client: str) -> tuple[Keeper, StateFile | None]:
    """The keeper of a new attempt, and the state file that remembers it (auto-resume). Raises UsageError."""
    if plan.place.mode == "disabled":
        return _nobody(plan), None
    launch = launch_of(os.environ, plan.launch or "")
    notices.quiet = launch.rank > 0
    state_file = None
    if auto(plan):
        from respool.state_file import Key, StateFile  # noqa: PLC0415 - json, which only auto-resume needs

        key = Key(program(), plan.project, launch.task)
        state_file = StateFile(os.path.join(plan.place.folder, "respool"), key)
    request = request_of(plan, launch, state_file.find(launch.name) if state_file is not None else "")
    try:
        keeper = keep(plan, request, client)
    except LiveRunError as error:
        if request.fixed_id or not (request.base or request.remembered):
            raise
        notices.line(f"{error} A new run begins.")
        keeper = keep(plan, request._replace(base="", remembered=""), client)
    os.environ[VARIABLE] = launch.exported
    follows = launch.rank > 0 or (keeper.attached.joined and launch.rank < 0)
    notices.quiet = follows and not plan.join
    if state_file is None or follows:
        return keeper, None
    state_file.claim(keeper.attached, request)
    return keeper, state_file


def keep(plan: Plan, request: Request, client: str) -> Keeper:
    """Ask for an attempt, first the daemon, then the local spool. Raises UsageError."""
    if plan.place.mode == "online":
        for path in _sockets(plan):
            asked = _ask(path, plan, request, client)
            if isinstance(asked, Keeper):
                return asked
            if asked is _UNSURE:
                request = request._replace(launch=f"{request.launch}+alone")
    return _local(plan, request)


def _started(path: str) -> bool:
    """Whether a daemon could be started where none was, and answers."""
    from respool import autostart  # noqa: PLC0415 - an init() with a daemon does not need it

    around = autostart.Surroundings(dict(os.environ))
    return autostart.refusal(around) is None and autostart.start(path, around)


def _sockets(plan: Plan) -> Iterator[str]:
    """Where a daemon may listen; the last place once more if one could be started there."""
    places = [plan.socket] if plan.socket else candidates(dict(os.environ))
    yield from places
    if _started(places[-1]):
        yield places[-1]


def _local(plan: Plan, request: Request) -> Keeper:
    from respool import local_attach  # noqa: PLC0415 - 5 ms that an init() with a daemon need not pay

    return local_attach.attach(plan, request)


def _ask(path: str, plan: Plan, request: Request, client: str) -> Keeper | object | None:
    """The daemon's keeper, None when nobody there can keep it, or _UNSURE. Raises UsageError for a refusal."""
    link = None
    asked = None
    try:
        link = _reach(path, client, patient=request.resume != "none")
        deadline = time.monotonic() + GREETING_SECONDS
        if not link.wait(lambda: link.open or link.refused is not None, deadline) or link.refused is not None:
            _say_unfit(path, link.refused)
            link.close()
            return None
        seconds = max(float(plan.place.settings.init_timeout or 0.0), HANDSHAKE_SECONDS + 5.0)
        asked = _UNSURE
        attach = Attach(request._asdict(), own_key(link, request.hub))
        answer = link.ask(attach, time.monotonic() + seconds, _say_waiting)
    except LinkError:
        if link is not None:
            link.close()
        return asked
    return _keeper_of(link, answer, client, request.hub)


def own_key(link: Link, hub: str | None) -> str | None:
    """The user's own key for a run that goes to `hub`, or to the daemon's own choice."""
    target = hub or (link.welcome.hub if link.welcome else None)
    return key_for(target, os.environ, own_daemon=link.peer_uid == os.getuid())


def _reach(path: str, client: str, *, patient: bool) -> Link:
    """A connection to the daemon. A socket at which nobody listens any more is a killed daemon's: who continues a
    run waits a little for the next one, which knows where the run was. Raises LinkError.
    """
    deadline = time.monotonic() + RETURN_SECONDS
    while True:
        try:
            return Link(path, client, lambda received: close_all(received.fds))
        except LinkError as error:
            killed = isinstance(error.__cause__, ConnectionRefusedError)
            if not (patient and killed) or time.monotonic() >= deadline:
                raise
            text = (
                f"the daemon at {path} was killed; waiting up to {RETURN_SECONDS:.0f} s for it to come back."
            )
            notices.warn(f"killed {path}", text)
        time.sleep(0.05)


def _keeper_of(link: Link, answer: Received, client: str, hub: str | None) -> Keeper | None:
    match answer.message:
        case Attached() as attached if answer.fds:
            first, *rest = answer.fds
            opened = Opened(first, attached.segment, attached.capacity)
            spare = Opened(rest[0], attached.segment + 1, attached.capacity) if rest else None
            close_all(rest[1:])
            _offer_left_behind(link, client)
            tether = Tether(link, client, attached.attempt_id, attached.writer, spare)
            tether.key = lambda again: own_key(again, hub)
            return Keeper(attached, opened, tether=tether)
        case Refused() as refused:
            link.close()
            _refused(link.path, refused)
    close_all(answer.fds)
    link.close()
    return None


def _offer_left_behind(link: Link, client: str) -> None:
    """A system daemon, unlike one's own, finds nothing by itself that this user's processes kept without it."""
    environ = dict(os.environ)
    if link.peer_uid not in {-1, os.getuid()} and registered_spools(environ):
        from respool import handing_over  # noqa: PLC0415 - hardly ever needed

        handing_over.in_passing(link.path, client, environ)


def _refused(path: str, refused: Refused) -> None:
    """Raise what the user must decide about; the rest is a line."""
    text = notices.joined(refused.cause, refused.advice)
    if refused.code == "live":
        raise LiveRunError(text)
    if refused.code in _DECIDED:
        raise UsageError(text)
    _say_unfit(path, refused)


def _say_unfit(path: str, refused: Refused | None) -> None:
    if refused is None:
        notices.line(f"the daemon at {path} does not answer; going on without it.")
    else:
        text = notices.joined(refused.cause, refused.advice)
        notices.line(f"the daemon at {path} cannot keep this run: {text}")


def _say_waiting(waiting: Waiting) -> None:
    text = f"waiting up to {waiting.seconds:.0f} s for it to fall silent."
    notices.warn("waiting", notices.joined(waiting.reason, text))


def _nobody(plan: Plan) -> Keeper:
    original = plan.original_id or generate_id()
    meta: dict[str, Any] = dict(plan.meta)
    attached = Attached("", plan.project, run_id_of(original), entity=plan.entity, meta=meta)
    return Keeper(attached, None)


Renew = Callable[[], Keeper]


def renewal(plan: Plan, keeper: Keeper, client: str) -> Renew:
    """Makes the keeper of a further attempt of the same run and process, for rewind after the first row. Is
    never refused: what the daemon will not have goes to the local spool.
    """

    def renew() -> Keeper:
        attached = keeper.attached
        again = plan._replace(
            original_id=attached.run_id, entity=attached.entity, resume="allow", takeover=True
        )
        request = request_of(again, launch_of(os.environ, os.environ.get(VARIABLE, "")))
        try:
            return keep(again, request, client)
        except UsageError as error:
            notices.warn("renew", f"{error} The attempt goes on in the local spool.")
            place = again.place._replace(mode="spool")
            return _local(again._replace(place=place), request)

    return renew
