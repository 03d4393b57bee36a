"""OpenAPI of the JSON side, for tools. Written by hand: it is a page, and it is the contract."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub import __version__
from respool_hub.api.answers import as_json
from respool_hub.api.door import Door
from respool_hub.hub import Hub
from respool_hub.service.access import Caller, Scope

RUN = "/v1/runs/{entity}/{project}/{run_id}"


def routes(hub: Hub) -> list[Route]:
    return [Route("/v1/openapi.json", Door(hub, Scope.READ, document), methods=["GET"])]


async def document(_: Hub, __: Caller, ___: Request) -> Response:
    return as_json(DOCUMENT)


def _type(name: str, *, nullable: bool = False) -> dict[str, Any]:
    return {"type": [name, "null"] if nullable else name}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT, NUMBER, COUNT, FLAG = _type("string"), _type("number"), _type("integer"), _type("boolean")
MAYBE_TEXT, MAYBE_TIME = _type("string", nullable=True), _type("number", nullable=True)
MAYBE_COUNT = _type("integer", nullable=True)

RUN_FIELDS: dict[str, dict[str, Any]] = {
    "entity": TEXT,
    "project": TEXT,
    "run_id": TEXT,
    "original_id": TEXT,
    "name": TEXT,
    "state": TEXT,
    "attempts": COUNT,
    "last_step": MAYBE_COUNT,
    "rows": COUNT,
    "created_at": NUMBER,
    "heartbeat_at": MAYBE_TIME,
    "ended_at": MAYBE_TIME,
    "pending_records": COUNT,
    "pending_bytes": COUNT,
    "node": MAYBE_TEXT,
    "lost": COUNT,
    "tags": _list(TEXT),
    "notes": TEXT,
    "artifacts": _type("object"),
    "url": MAYBE_TEXT,
    "diverged": FLAG,
    "alias_of": MAYBE_TEXT,
}
ATTEMPT_FIELDS: dict[str, dict[str, Any]] = {
    "attempt_id": TEXT,
    "number": COUNT,
    "state": TEXT,
    "parent": MAYBE_TEXT,
    "cut": MAYBE_COUNT,
    "node": TEXT,
    "pid": COUNT,
    "started_at": NUMBER,
    "ended_at": MAYBE_TIME,
    "exit_code": MAYBE_COUNT,
    "first_step": MAYBE_COUNT,
    "last_step": MAYBE_COUNT,
    "rows": COUNT,
    "lost": COUNT,
    "heartbeat_at": MAYBE_TIME,
    "pending_records": COUNT,
    "on_lineage": FLAG,
    "hidden": COUNT,
    "about": _type("object"),
    "branch": FLAG,
    "offline": FLAG,
}
FULL_FIELDS = {
    **RUN_FIELDS,
    "attempts": _list(_ref("Attempt")),
    "config": _type("object"),
    "summary": _type("object"),
    "meta": _type("object"),
    "alerts": _list(_object(title=TEXT, text=TEXT, level=TEXT, time=NUMBER)),
    "head": MAYBE_TEXT,
}
KEY_FIELDS: dict[str, dict[str, Any]] = {
    "key_id": TEXT,
    "user": TEXT,
    "scope": {"enum": ["read", "write", "admin"]},
    "project": MAYBE_TEXT,
    "name": TEXT,
    "created_at": NUMBER,
    "revoked_at": MAYBE_TIME,
    "expires_at": MAYBE_TIME,
    "used_at": MAYBE_TIME,
}
FILE = _object(
    name=TEXT,
    size=COUNT,
    digest=TEXT,
    step=MAYBE_COUNT,
    time=NUMBER,
    attempt_id=TEXT,
    number=COUNT,
    seq=COUNT,
)
SCHEMAS = {
    "Problem": _object(code=TEXT, cause=TEXT, advice=TEXT, detail=_type("object")),
    "Run": _object(**RUN_FIELDS),
    "Attempt": _object(**ATTEMPT_FIELDS),
    "FullRun": _object(**FULL_FIELDS),
    "Key": _object(**KEY_FIELDS),
    "NewKey": _object(**KEY_FIELDS, key=TEXT),
    "Wish": _object(
        user=TEXT, scope=KEY_FIELDS["scope"], project=MAYBE_TEXT, name=TEXT, expires_in=MAYBE_TIME
    ),
    "Team": _object(team=TEXT, members=_list(TEXT), created_at=NUMBER),
    "Edit": _object(name=MAYBE_TEXT, notes=MAYBE_TEXT, tags=_list(TEXT)),
    "File": FILE,
    "Me": _object(
        user=TEXT,
        entity=TEXT,
        scopes=_list(TEXT),
        key_id=TEXT,
        project=MAYBE_TEXT,
        teams=_list(TEXT),
        expires_at=MAYBE_TIME,
    ),
}


def _answer(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": "Done.", "content": {media: {"schema": schema}}}


def _operation(
    summary: str, answer: dict[str, Any], query: tuple[str, ...] = (), path: tuple[str, ...] = ()
) -> dict[str, Any]:
    parameters = [{"name": n, "in": "path", "required": True, "schema": TEXT} for n in path]
    parameters += [{"name": n, "in": "query", "required": False, "schema": TEXT} for n in query]
    problem = {"description": "Not done.", "content": {"application/json": {"schema": _ref("Problem")}}}
    return {"summary": summary, "parameters": parameters, "responses": {"200": answer, "default": problem}}


OF_RUN = ("entity", "project", "run_id")
HISTORY_QUERY = ("attempt", "all", "keys", "min_step", "max_step")
HISTORY = _answer(_type("object"), "application/x-ndjson")
BYTES = _answer({"type": "string", "format": "binary"}, "application/octet-stream")
KEYS = _answer(_object(keys=_list(_ref("Key"))))
TEAMS = _answer(_object(teams=_list(_ref("Team"))))
SWEEP = _answer(_type("object"))
SWEEPS = _answer(_object(sweeps=_list(_type("object"))))
GONE = _object(
    entity=TEXT,
    project=TEXT,
    run_id=TEXT,
    attempts=COUNT,
    rows=COUNT,
    files=COUNT,
    checkpoints=COUNT,
    file_bytes=COUNT,
)
PUT_TEAM = {
    **_operation("Make a team, or give it these members", _answer(_ref("Team")), (), ("team",)),
    "requestBody": {"content": {"application/json": {"schema": _object(members=_list(TEXT))}}},
}
MAKE = {
    **_operation("Make a key; it is shown once", _answer(_ref("NewKey"))),
    "requestBody": {"content": {"application/json": {"schema": _ref("Wish")}}},
}
MAKE["responses"] = {"201": _answer(_ref("NewKey")), "default": MAKE["responses"]["default"]}
EDIT = {
    **_operation("Change name, notes or tags", _answer(_ref("FullRun")), (), OF_RUN),
    "requestBody": {"content": {"application/json": {"schema": _ref("Edit")}}},
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "respool hub", "version": __version__},
    "security": [{"key": []}],
    "components": {"schemas": SCHEMAS, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/v1/me": {"get": _operation("Who this key is", _answer(_ref("Me")))},
        "/v1/runs": {
            "get": _operation(
                "Runs, newest activity first",
                _answer(_object(runs=_list(_ref("Run")))),
                ("entity", "project", "run_id", "limit"),
            )
        },
        RUN: {
            "get": _operation("One run with its attempts", _answer(_ref("FullRun")), (), OF_RUN),
            "patch": EDIT,
            "delete": _operation("Delete a run for good; says what went", _answer(GONE), (), OF_RUN),
        },
        RUN + "/deletion": {"get": _operation("What a DELETE would take", _answer(GONE), (), OF_RUN)},
        RUN + "/history": {"get": _operation("One line per step", HISTORY, HISTORY_QUERY, OF_RUN)},
        RUN + "/beside/{kind}": {
            "get": _operation(
                "What lies beside the rows: console, system, packages",
                HISTORY,
                ("attempt", "last"),
                (*OF_RUN, "kind"),
            )
        },
        RUN + "/files": {
            "get": _operation("Files", _answer(_object(files=_list(_ref("File")))), ("all",), OF_RUN)
        },
        RUN + "/files/{name}": {"get": _operation("A file", BYTES, ("attempt",), (*OF_RUN, "name"))},
        "/v1/keys": {"get": _operation("Keys: an admin sees all, others their own", KEYS), "post": MAKE},
        "/v1/keys/{key_id}": {
            "delete": _operation("Revoke a key", _answer(_type("object")), (), ("key_id",))
        },
        "/v1/teams": {"get": _operation("Teams: an admin sees all, others their own", TEAMS)},
        "/v1/teams/{team}": {
            "put": PUT_TEAM,
            "delete": _operation("Remove a team that has no runs", _answer(_type("object")), (), ("team",)),
        },
        "/v1/sweeps": {"get": _operation("Sweeps, newest first", SWEEPS, ("project", "sweep_id"))},
        "/v1/sweeps/{entity}/{project}": {"post": _operation("Make a sweep", SWEEP, (), OF_RUN[:2])},
        "/v1/sweeps/{entity}/{project}/{sweep_id}": {
            "get": _operation("A sweep, its runs, the best of them", SWEEP, (), (*OF_RUN[:2], "sweep_id")),
            "patch": _operation("Pause, resume, stop or cancel it", SWEEP, (), (*OF_RUN[:2], "sweep_id")),
        },
    },
}
