"""A hub to try things on: its clock is moved by the test, its callers are made up."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

import httpx
import uvloop

from respool.wire import codec
from respool.wire.frames import EXPLICIT_STEP, NO_STEP, Kind, encode
from respool_hub.api.records import _body
from respool_hub.app import Server, settings
from respool_hub.config import HubConfig
from respool_hub.hub import open_hub
from respool_hub.service import beats, history
from respool_hub.service.access import Caller, Scope
from respool_hub.service.append import Where, append
from respool_hub.service.register import register
from respool_hub.service.show import full
from respool_hub.service.story import tell
from respoold.core import hubapi

ANNA = Caller("anna", Scope.WRITE, None, "k-anna")
BERT = Caller("bert", Scope.WRITE, None, "k-bert")
ROOT = Caller("admin", Scope.ADMIN, None, "k-root")


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self, wall=1_000_000.0):
        self.seconds = 0.0
        self.start = wall

    def wall(self):
        return self.start + self.seconds

    def steady(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds


def name(number):
    """The id of the n-th attempt."""
    return f"{number:032x}"


def record(kind, seq, value, step=NO_STEP, span=1, time=None, flags=0):
    at = 1000.0 + seq if time is None else time
    return encode(kind, codec.pack(value), seq=seq, step=step, span=span, time=at, flags=flags)


def row(seq, step, time=None, named=False, **values):
    """A row with this step; `named`: by the script."""
    flags = EXPLICIT_STEP if named else 0
    return record(Kind.ROW, seq, values or {"loss": float(seq)}, step, time=time, flags=flags)


def rows(first_seq, steps, named=True, **values):
    """Rows with these steps, one after the other."""
    return b"".join(row(first_seq + index, step, named=named, **values) for index, step in enumerate(steps))


def asked(attempt, run_id="run", resume="allow", **more):
    given = {"project": "p", "original_id": run_id, "node": "n1", "pid": 11, **more}
    return hubapi.AttachRequest(attempt_id=attempt, run_id=run_id, resume=resume, **given)


class Desk:
    """The service of one hub, without HTTP."""

    def __init__(self, folder, clock=None):
        self.clock = clock or FakeClock()
        self.hub = open_hub(HubConfig(str(folder), "127.0.0.1:0"), clock=self.clock)

    def attach(self, attempt, run_id="run", resume="allow", who=ANNA, **more):
        request = asked(attempt, run_id, resume, **more)
        return self.write(lambda tx: register(tx, who, request, self.hub.now(), "hub"))

    def append(self, attempt, first_seq, data, writer=0, who=ANNA):
        body = _body(data, "", first_seq)
        where = Where(attempt, writer, first_seq)
        return self.write(lambda tx: append(tx, who, where, body, self.hub.now()))

    def beat(self, *attempts, who=ANNA, **told):
        request = hubapi.Beat("n1", "d", {attempt: {"alive": True, **told} for attempt in attempts})
        return self.write(lambda tx: beats.beat(tx, who, request, self.hub.now()))

    def report(self, attempt, event, who=ANNA, **more):
        said = hubapi.StateReport(event, **more)
        return self.write(lambda tx: beats.report(tx, who, attempt, said, self.hub.now()))

    def show(self, run_id="run", entity="anna"):
        return self.read(lambda r: full(r, r.run(entity, "p", run_id), self.hub.ears.quiet, None))

    def lines(self, run_id="run", every=False, **query):
        def look(reader):
            run = reader.run("anna", "p", run_id)
            story = tell(reader, run.id, run.head)
            if every:
                found = history.every(reader, story, None, history.Asked(**query))
            else:
                found = history.merged(reader, story, story.chain, history.Asked(**query))
            return [line for line in found if line]

        return self.read(look)

    def head(self, run_id="run"):
        return self.read(lambda reader: reader.run("anna", "p", run_id).head)

    def write(self, work):
        return self.hub.store.write(work).result()

    def read(self, work):
        return self.hub.store.read(work).result()

    def close(self):
        self.hub.close()


@contextmanager
def served(hub, path) -> Iterator[httpx.Client]:
    """The hub over HTTP on a Unix socket, with a client that has no key."""
    config = settings(hub)
    config.uds = str(path)
    server = Server(config)

    def run():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve())

    thread = threading.Thread(target=run)
    thread.start()
    # Not by the client's retries: each try that nobody answers leaves it a socket to the garbage collector.
    while not server.started and thread.is_alive():
        sleep(0.005)
    transport = httpx.HTTPTransport(uds=str(path))
    try:
        with httpx.Client(transport=transport, base_url="http://hub", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
