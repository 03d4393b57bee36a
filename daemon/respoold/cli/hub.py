"""The hub, seen by a command: which one, with which key, and its answers as JSON. Blocking httpx.

Every failure becomes a CommandError here: not reached and not understood are exit code 3; what the hub does not
know, does not let its caller do or refuses as asked is a usage error, in the hub's own two sentences.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx

from respool.wire.errors import WireError
from respoold.cli import credentials
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, DeniedError, Exit
from respoold.cli.places import Places
from respoold.core import hubapi
from respoold.core.address import in_the_open, normal, usable
from respoold.core.errors import HubAway, HubDenied, HubRefused, plain
from respoold.core.hubapi import Manifest
from respoold.io.bulk import Bulk, Take

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
UNIX = "unix:"


class Address(NamedTuple):
    """A hub's URL, who named it, and what to do when that was wrong."""

    url: str
    source: str
    remedy: str = "name another with --hub URL"


class Hub:
    """A hub that asks for a key. Close it with `with`."""

    def __init__(
        self, address: Address, key: str | None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.address = address
        self._key = key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        unix = address.url.startswith(UNIX)
        if unix and transport is None:
            transport = httpx.HTTPTransport(uds=address.url.removeprefix(UNIX))
        # A proxy of the environment may carry https, whose content it cannot read, and nothing else.
        self._client = httpx.Client(
            base_url=address.url if address.url.startswith("http") else "http://hub",
            headers=headers,
            timeout=TIMEOUT,
            transport=transport,
            trust_env=address.url.startswith("https:"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The JSON object of an answer; query values of None are left out."""
        return self._json("GET", path, params=_given(query))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json("POST", path, json=body)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json("PUT", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json("PATCH", path, json=body)

    def delete(self, path: str) -> dict[str, Any]:
        return self._json("DELETE", path)

    def lines(self, path: str, **query: Any) -> Generator[dict[str, Any], None, None]:
        """The objects of a streamed answer, one by one; close the iterator to stop early."""
        with self.stream(path, **query) as response, self._translated():
            for line in response.iter_lines():
                if line:
                    yield self._object(line)

    @contextmanager
    def stream(self, path: str, **query: Any) -> Iterator[httpx.Response]:
        """An answer whose body is still to be read, through `chunks`."""
        with self._translated(), self._client.stream("GET", path, params=_given(query)) as response:
            if not response.is_success:
                response.read()
                raise self._problem(response)
            yield response

    def chunks(self, response: httpx.Response) -> Iterator[bytes]:
        with self._translated():
            yield from response.iter_bytes(1 << 20)

    def manifest(self, part: str) -> Manifest:
        """What the part at this path consists of."""
        with self.stream(f"{part}/chunks") as response:
            packed = b"".join(self.chunks(response))
        try:
            return hubapi.load(Manifest, packed)  # type: ignore[no-any-return]
        except WireError as error:
            cause = f"What answers at {self.address.url} sent no list of chunks: {error}."
            raise CommandError(Exit.UNREACHABLE, cause, "Check the address; update the hub.") from error

    def holds(self, digest: str) -> bool:
        """Whether the hub, which reads it anew, has this blob as it was; else it takes it again from now on. True
        where it does not say.
        """
        try:
            path, speak = f"{hubapi.API}/blobs/{digest}/verify", {"Accept": "application/json"}
            return bool(self._json("POST", path, headers=speak).get("whole", True))
        except CommandError:
            return True

    def span(self, bulk: Bulk, part: str, start: int, end: int, take: Take) -> None:
        """Some bytes of the part at this path; may be called from several threads."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            bulk.get(headers, part.removeprefix(hubapi.API), start, end, take)
        except HubAway as error:
            cause = f"The hub at {self.address.url} is away: {error.why}."
            raise CommandError(
                Exit.UNREACHABLE, cause, "Say it again later: what has come is not fetched anew."
            ) from error
        except HubDenied as error:
            raise DeniedError(error.problem.cause, error.problem.advice) from error
        except HubRefused as error:
            code = Exit.BAD if error.problem.code == "damaged" else Exit.UNREACHABLE
            raise CommandError(code, error.problem.cause, error.problem.advice) from error

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._translated():
            response = self._client.request(method, path, **options)
        if not response.is_success:
            raise self._problem(response)
        return self._object(response.text) if response.content else {}

    def _object(self, text: str) -> dict[str, Any]:
        try:
            item = json.loads(text)
        except (ValueError, RecursionError):
            item = None
        if not isinstance(item, dict):
            raise CommandError(
                Exit.UNREACHABLE,
                f"What answers at {self.address.url} is no respool hub: it sent {text[:40]!r}.",
                f"Check the address; it came from {self.address.source}.",
            )
        return item

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = plain(error).rstrip(".")
            cause = f"The hub at {self.address.url} does not answer: {why}."
            advice = f"The address came from {self.address.source}; {self.address.remedy}."
            raise CommandError(Exit.UNREACHABLE, cause, advice) from error

    def _problem(self, response: httpx.Response) -> CommandError:
        try:
            problem = response.json()
            cause, advice = str(problem["cause"]), str(problem.get("advice", ""))
            damaged = problem.get("code") == "damaged"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            cause, advice = f"The hub at {self.address.url} answered {response.status_code}.", ""
            damaged = False
        status = response.status_code
        if status in {401, 403}:
            login = f"Log in with `respool login {self.address.url}`."
            return DeniedError(cause, advice or login)
        ours = 400 <= status < 500 and status != 429
        code = Exit.BAD if damaged else Exit.USAGE if ours else Exit.UNREACHABLE
        return CommandError(code, cause, advice or "Try again later; the hub's log says more.")


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def run_url(entity: str, project: str, run_id: str, *rest: str) -> str:
    """The path of a run, or of something below it."""
    return "/".join(["/v1/runs", *(quote(part, safe="") for part in (entity, project, run_id)), *rest])


def find_hub(named: str | None, places: Places) -> Address:
    """Which hub: --hub, RESPOOL_HUB_URL, the daemon's, the configuration's, the only login."""
    if named:
        return checked(named, "--hub")
    if places.environ.get("RESPOOL_HUB_URL"):
        return checked(places.environ["RESPOOL_HUB_URL"], "RESPOOL_HUB_URL")
    try:
        with open_daemon(places) as link:
            if link.welcome.hub:
                return checked(link.welcome.hub, f"the daemon at {link.path}")
    except NoDaemonError:
        pass
    configured = places.configured("hub", "hub_url")
    if configured:
        return checked(configured, "the configuration file")
    known = list(credentials.load(places.credentials))
    if len(known) == 1:
        return checked(known[0], "the only login")
    raise CommandError(
        Exit.UNREACHABLE,
        "No hub is known: no --hub, no RESPOOL_HUB_URL, no daemon, and none in a configuration file.",
        "Start one with `respool up`, or name yours: `respool login https://hub.example`.",
    )


def checked(url: str, source: str) -> Address:
    """An address in its filed spelling. Raises CommandError for what is none."""
    named, url = url, normal(url)
    if not usable(url):
        cause = f"The hub address {named!r} from {source} cannot be used."
        raise CommandError(Exit.USAGE, cause, "Write https://HOST, http://HOST:PORT or unix:/PATH/hub.sock.")
    return Address(url, source)


def find_key(address: Address, places: Places) -> str | None:
    """The key for a hub: RESPOOL_API_KEY, credentials.toml, the configuration file.

    Raises CommandError for a key that would cross the network in plain text.
    """
    filed = credentials.find(places.credentials, address.url)
    # The key of the environment belongs to the hub of the environment, and is shown to no other.
    own = places.environ.get("RESPOOL_HUB_URL")
    key = (
        (places.environ.get("RESPOOL_API_KEY") if not own or normal(own) == address.url else None)
        or (filed.api_key if filed else None)
        or places.configured("api_key")
    )
    if key and in_the_open(address.url) and not (filed and filed.insecure):
        cause = f"The key for {address.url} would cross the network in plain text."
        advice = f"Use https://, or accept it once and for all: `respool login {address.url} --insecure`."
        raise CommandError(Exit.USAGE, cause, advice)
    return key


def open_hub(named: str | None, places: Places) -> Hub:
    """The hub a reading command asks. Raises CommandError when none is known or no key for it."""
    address = find_hub(named, places)
    key = find_key(address, places)
    if key is None:
        cause = f"There is no key for the hub at {address.url}."
        raise DeniedError(cause, f"Log in with `respool login {address.url}`.")
    return Hub(address, key)
