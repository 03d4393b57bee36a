"""A hub that is a dictionary, on a real socket, and how a command's end looks."""

from __future__ import annotations

import contextlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple


class FakeHub:
    """Answers GETs from `pages`, a path (without query) to a JSON object, bytes, or a function of the query.

    Knobs: `key` is the one that is let in; `status` of a page may be set with a tuple (status, object);
    `asked` is what came in: (method, path with query, body). Of bytes a Range is given.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.key = "rsp_test"
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: dict[str, dict[str, str]] = {}
        self.url = ""

    def runs(self, *runs: dict[str, Any]) -> None:
        """What /v1/runs filters."""

        def listing(query: dict[str, str]) -> dict[str, Any]:
            wanted = {key: query[key] for key in ("entity", "project", "run_id") if key in query}
            return {"runs": [run for run in runs if wanted.items() <= run.items()]}

        self.pages["/v1/runs"] = listing
        for run in runs:
            self.pages[f"/v1/runs/{run['entity']}/{run['project']}/{run['run_id']}"] = run

    def history(self, path: str, rows: list[dict[str, Any]]) -> None:
        def stream(query: dict[str, str]) -> bytes:
            low, high = int(query.get("min_step", 0)), int(query.get("max_step", 1 << 60))
            shown = [row for row in rows if low <= row["_step"] <= high]
            return b"".join(json.dumps(row).encode() + b"\n" for row in shown)

        self.pages[f"/v1/runs/{path}/history"] = stream


def a_run(run_id: str, **more: Any) -> dict[str, Any]:
    run = {
        "entity": "ada", "project": "digits", "run_id": run_id, "original_id": run_id, "name": run_id,
        "state": "running", "attempts": 1, "last_step": 1233, "rows": 1234, "created_at": 1.7e9,
        "heartbeat_at": 1.7e9, "ended_at": None, "pending_records": 0, "pending_bytes": 0, "node": "node7",
        "lost": 0, "tags": [], "url": None,
    }  # fmt: skip
    return run | more


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def handler_of(fake: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def do_PUT(self) -> None:
            self._answer("PUT")

        def do_PATCH(self) -> None:
            self._answer("PATCH")

        def do_DELETE(self) -> None:
            self._answer("DELETE")

        def _answer(self, method: str) -> None:
            path, _, text = self.path.partition("?")
            query = dict(pair.split("=", 1) for pair in text.split("&") if pair)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.asked.append((method, self.path, json.loads(body) if body else None))
            if self.headers.get("Authorization") != f"Bearer {fake.key}":
                self._send(401, {"code": "key", "cause": "This key is unknown.", "advice": "Log in again."})
                return
            page = fake.pages.get(path, (404, {"code": "missing", "cause": f"No {path}.", "advice": "Look."}))
            page = page(query) if callable(page) else page
            status, page = page if isinstance(page, tuple) else (200, page)
            span = self.headers.get("Range", "")
            if span and isinstance(page, bytes):
                first, last = map(int, span.removeprefix("bytes=").split("-"))
                status, page = 206, page[first : last + 1]
            self._send(status, page, fake.headers.get(path, {}))

        def _send(self, status: int, page: Any, headers: dict[str, str] | None = None) -> None:
            data = page if isinstance(page, bytes) else json.dumps(page).encode()
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(name, value)
            with contextlib.suppress(ConnectionError):  # a client that has seen enough hangs up
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
