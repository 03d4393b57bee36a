"""Sweeps over HTTP, as JSON: made and read by people, worked on by agents."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub.api.answers import as_json
from respool_hub.api.door import Door, json_of
from respool_hub.hub import Hub
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import refuse
from respool_hub.service.sweeps import making, renewal, work
from respool_hub.service.sweeps.config import sweep_of
from respool_hub.service.sweeps.leases import LEASE_SECONDS
from respool_hub.service.sweeps.search import Suggestion, suggest
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import SweepRow

MAX_LEASE = 64
MAX_LEASES = 1000


def routes(hub: Hub) -> list[Route]:
    path = "/v1/sweeps/{entity}/{project}"
    one = path + "/{sweep_id}"
    return [
        Route("/v1/sweeps", Door(hub, Scope.READ, list_sweeps), methods=["GET"]),
        Route(path, Door(hub, Scope.WRITE, make_sweep), methods=["POST"]),
        Route(one, Door(hub, Scope.READ, show_sweep), methods=["GET"]),
        Route(one, Door(hub, Scope.WRITE, change_sweep), methods=["PATCH"]),
        Route(one + "/work", Door(hub, Scope.WRITE, ask_for_work), methods=["POST"]),
        Route(one + "/leases", Door(hub, Scope.WRITE, renew_leases), methods=["POST"]),
        Route(one + "/reports", Door(hub, Scope.WRITE, take_report), methods=["POST"]),
        Route(one + "/returns", Door(hub, Scope.WRITE, take_back), methods=["POST"]),
    ]


async def list_sweeps(hub: Hub, caller: Caller, request: Request) -> Response:
    project, sweep_id = (request.query_params.get(name) or None for name in ("project", "sweep_id"))
    found = await hub.read(lambda reader: making.listed(reader, caller, project, sweep_id))
    return as_json({"sweeps": found})


async def make_sweep(hub: Hub, caller: Caller, request: Request) -> Response:
    told, path = await json_of(request), request.path_params
    sweep = await hub.write(
        lambda tx: making.make(tx, caller, path["entity"], path["project"], told, hub.now())
    )
    return as_json(await hub.study(lambda reader: making.shown(reader, sweep, hub.now())))


async def show_sweep(hub: Hub, caller: Caller, request: Request) -> Response:
    def look(reader: Reader) -> dict[str, Any]:
        return making.shown(reader, making.find(reader, caller, *_path(request)), hub.now())

    return as_json(await hub.study(look))


async def change_sweep(hub: Hub, caller: Caller, request: Request) -> Response:
    order = _text(await json_of(request), "order")

    def do(tx: Transaction) -> SweepRow:
        return making.change(tx, making.own(tx, caller, *_path(request)), order)

    changed = await hub.write(do)
    return as_json({"sweep_id": changed.sweep_id, "state": changed.state})


async def ask_for_work(hub: Hub, caller: Caller, request: Request) -> Response:
    """Its search runs beside the transactions: somebody else may have been given that number meanwhile."""
    told = await json_of(request)
    lease, agent = _text(told, "lease"), _text(told, "agent")

    def ask(tx: Transaction) -> tuple[SweepRow, work.Answer]:
        sweep = making.own(tx, caller, *_path(request))
        return sweep, work.ask(tx, sweep, lease, agent, hub.now())

    def hand_out(tx: Transaction, found: Suggestion, number: int) -> tuple[SweepRow, work.Answer]:
        sweep = making.own(tx, caller, *_path(request))  # somebody may have changed it meanwhile
        return sweep, work.hand_out(tx, sweep, lease, agent, found, number, hub.now())

    sweep, answer = await hub.write(ask)
    while isinstance(answer, work.Needed):
        found = await hub.study(partial(_searched, sweep=sweep, number=answer.number))
        sweep, answer = await hub.write(partial(hand_out, found=found, number=answer.number))
    return as_json(_told(sweep, answer))


async def renew_leases(hub: Hub, caller: Caller, request: Request) -> Response:
    told = await json_of(request)
    leases = told.get("leases")
    if not isinstance(leases, list) or len(leases) > MAX_LEASES or not all(map(_is_lease, leases)):
        raise refuse("bad-request", "The body names no leases.", 'Send {"leases": [NAME, ...]}.')

    def compare(reader: Reader) -> dict[str, renewal.Marks]:
        sweep = making.own(reader, caller, *_path(request))
        return renewal.marks(reader, sweep, leases, hub.looks)

    def renew(tx: Transaction) -> dict[str, str]:
        return renewal.renew(tx, making.own(tx, caller, *_path(request)), leases, marks, hub.now())

    marks = await hub.study(compare)
    return as_json({"orders": await hub.write(renew)})


async def take_report(hub: Hub, caller: Caller, request: Request) -> Response:
    told = await json_of(request)
    lease, code = _text(told, "lease"), told.get("code")
    if not isinstance(code, int) or isinstance(code, bool) or not -64 <= code <= 255:
        raise refuse("bad-request", f"code is {code!r:.40}.", "Send an exit code, negative for a signal.")

    def report(tx: Transaction) -> None:
        work.report(tx, making.own(tx, caller, *_path(request)), lease, code, hub.now())

    await hub.write(report)
    return as_json({"lease": lease})


async def take_back(hub: Hub, caller: Caller, request: Request) -> Response:
    lease = _text(await json_of(request), "lease")
    await hub.write(lambda tx: work.give_back(tx, making.own(tx, caller, *_path(request)), lease))
    return as_json({"lease": lease})


def _searched(reader: Reader, sweep: SweepRow, number: int) -> Suggestion:
    parsed = sweep_of(sweep.config)
    known = work.trials(reader, sweep) if parsed.method == "bayes" else []
    found = suggest(parsed, sweep.seed, number, known)
    assert found is not None, "a grid's end was looked at before"
    return found


def _told(sweep: SweepRow, answer: work.Answer) -> dict[str, Any]:
    match answer:
        case work.Work(row, again):
            parsed = sweep_of(sweep.config)
            return {
                "work": {
                    "run_id": row.run_id,
                    "number": row.number + 1,
                    "parameters": row.parameters,
                    "lease": row.lease,
                    "requeued": again,
                    "requeues": row.requeues,
                },
                "entity": sweep.entity,
                "project": sweep.project,
                "program": parsed.program,
                "command": list(parsed.command),
                "lease_seconds": LEASE_SECONDS,
            }
        case work.Wait(why):
            return {"wait": why}
        case work.Over(why):
            return {"over": why}
    raise AssertionError(answer)


def _path(request: Request) -> tuple[str, str, str]:
    path = request.path_params
    return path["entity"], path["project"], path["sweep_id"]


def _text(told: dict[str, Any], key: str) -> str:
    found = told.get(key)
    if not _is_lease(found):
        raise refuse(
            "bad-request", f"{key} is {found!r:.40}.", f"Send a text of 1 to {MAX_LEASE} characters."
        )
    return str(found)


def _is_lease(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_LEASE
