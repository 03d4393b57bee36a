"""What a hub knows, as anyone with a key can read it over HTTP."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import quote

import httpx

Row = dict[str, Any]


class Door(httpx.HTTPTransport):
    """A hub's socket, knocked at first: httpcore leaves the socket of a try that nobody answers to the garbage
    collector, which warns of it in whatever test is running then.
    """

    def __init__(self, path: str) -> None:
        super().__init__(uds=path, retries=1)
        self._path = path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self._path)
            except OSError as error:
                raise httpx.ConnectError(str(error), request=request) from error
        return super().handle_request(request)


class HubView:
    """A reader of one hub; the caller closes it. `find` and `show` give None for what is not there (yet), and
    while the hub is away.
    """

    def __init__(self, url: str, key: str) -> None:
        path = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._client = httpx.Client(
            base_url="http://hub" if path else url,
            headers={"Authorization": f"Bearer {key}"},
            transport=Door(path) if path else None,
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def find(self, project: str, run_id: str) -> Row | None:
        """The run as a list shows it."""
        try:
            answer = self._client.get("/v1/runs", params={"project": project, "run_id": run_id})
        except httpx.TransportError:
            return None
        assert answer.status_code == 200, answer.text
        runs = answer.json()["runs"]
        assert len(runs) <= 1, f"one id, {len(runs)} runs: {runs}"
        return runs[0] if runs else None

    def show(self, project: str, run_id: str) -> Row | None:
        """The run with its attempts."""
        return self._get(project, run_id, "")

    def files(self, project: str, run_id: str, *, every: bool = False) -> list[Row]:
        found = self._get(project, run_id, "/files", **({"all": "1"} if every else {}))
        return [] if found is None else found["files"]

    def file(self, project: str, run_id: str, name: str) -> bytes | None:
        path = self._path(project, run_id)
        if path is None:
            return None
        answer = self._client.get(f"{path}/files/{quote(name)}")
        return answer.content if answer.status_code == 200 else None

    def part(self, project: str, run_id: str, digest: str) -> bytes | None:
        """What lies in chunks under this digest."""
        path = self._path(project, run_id)
        answer = self._client.get(f"{path}/parts/{digest}")
        return answer.content if answer.status_code == 200 else None

    def steps(self, project: str, run_id: str) -> list[int]:
        """Of its checkpoints, newest first."""
        found = self._get(project, run_id, "/checkpoints")
        return [one["step"] for one in found["checkpoints"]] if found else []

    def checkpoints(self, project: str, run_id: str, *, every: bool = False) -> list[Row]:
        """Newest first, each with its `bytes`, part after part. `every`: those that the history hides, too."""
        found = self._get(project, run_id, "/checkpoints", **({"all": "1"} if every else {}))
        path = self._path(project, run_id)
        for one in found["checkpoints"] if found else ():
            parts = [self._client.get(f"{path}/parts/{part['digest']}") for part in one["parts"]]
            assert all(part.status_code == 200 for part in parts), [part.text for part in parts]
            one["bytes"] = b"".join(part.content for part in parts)
        return found["checkpoints"] if found else []

    def history(self, project: str, run_id: str, *, every: bool = False, **asked: str) -> list[Row]:
        path = self._path(project, run_id)
        assert path is not None, f"the hub has no run {project}/{run_id}"
        answer = self._client.get(f"{path}/history", params={**asked, **({"all": "1"} if every else {})})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def nodes(self) -> list[Row]:
        """What lies on which node."""
        return list(self._client.get("/v1/nodes").json()["nodes"])

    def state(self, project: str, run_id: str) -> str | None:
        found = self.find(project, run_id)
        return None if found is None else str(found["state"])

    def _path(self, project: str, run_id: str) -> str | None:
        run = self.find(project, run_id)
        if run is None:
            return None
        return "/v1/runs/" + "/".join(quote(run[key], safe="") for key in ("entity", "project", "run_id"))

    def _get(self, project: str, run_id: str, rest: str, **asked: str) -> Any:
        path = self._path(project, run_id)
        if path is None:
            return None
        try:
            answer = self._client.get(path + rest, params=asked)
        except httpx.TransportError:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()
