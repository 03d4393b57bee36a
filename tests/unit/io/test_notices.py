"""Each source of notices against a small server, file or command of its own: as documented, and of no use at all."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.metadata import Asked, Said, serving
from respoold.core.notice import Foreseen, Withdrawn
from respoold.io.notices import azure, ec2, gcp, machine
from respoold.io.notices.metadata import Source
from respoold.io.notices.own import Command, File, deadline_in
from respoold.io.notices.slurm import Slurm

SPOT = "/latest/meta-data/spot/instance-action"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
LIFE = "/latest/meta-data/instance-life-cycle"
AT, TIME = 1505722920.0, "2017-09-18T08:22:00Z"


def no_jitter() -> float:
    return 0.0


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - what is waited for is a plain list
            await trio.sleep(0.005)


@asynccontextmanager
async def hearing(source: Source) -> AsyncIterator[Callable[[Any], Any]]:
    """What a source says; `await heard(event)` waits for it."""
    said: list[Any] = []

    async def heard(event: Any) -> list[Any]:
        await until(lambda: event in said)
        return said

    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.watch, said.append)
        yield heard
        nursery.cancel_scope.cancel()


class Imds:
    """EC2's service. `answers` by path; a path that is not there is 404. `tokens`: those that are good."""

    def __init__(self, **answers: str) -> None:
        paths = {"spot": SPOT, "rebalance": REBALANCE}
        self.answers = {LIFE: "spot"} | {paths[key]: text for key, text in answers.items()}
        self.good = "t1"
        self.given = 0

    async def __call__(self, asked: Asked) -> Said:
        if asked.path == "/latest/api/token":
            if (
                asked.method != "PUT"
                or not 1 <= int(asked.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
            ):
                return Said(400)
            self.given += 1
            return Said(body=self.good)
        if asked.headers.get("x-aws-ec2-metadata-token") != self.good:
            return Said(401)
        return Said(body=self.answers[asked.path]) if asked.path in self.answers else Said(404)


async def test_ec2_says_nothing_until_the_notice_and_takes_it_back_when_it_is_gone() -> None:
    imds = Imds()
    async with serving(imds) as service, hearing(ec2.Ec2(service.base, no_jitter, 0.01)) as heard:
        assert Foreseen("ec2-spot", AT) not in await heard(Withdrawn("ec2-spot"))
        imds.answers[SPOT] = f'{{"action":"terminate","time":"{TIME}"}}'
        said = await heard(Foreseen("ec2-spot", AT))
        said.clear()
        del imds.answers[SPOT]
        await heard(Withdrawn("ec2-spot"))
    assert imds.given == 1


async def test_a_rebalance_is_advice() -> None:
    imds = Imds(rebalance=f'{{"noticeTime":"{TIME}"}}')
    async with serving(imds) as service, hearing(ec2.Ec2(service.base, no_jitter, 0.01)) as heard:
        await heard(Foreseen("ec2-rebalance", likely=True))


async def test_advice_that_cannot_be_had_slows_no_notice() -> None:
    imds, asked = Imds(), list[float]()

    async def handler(one: Asked) -> Said:
        if one.path == SPOT:
            asked.append(trio.current_time())
        return Said(500) if one.path == REBALANCE else await imds(one)

    async with serving(handler) as service, hearing(ec2.Ec2(service.base, lambda: 0.9, 0.01)):
        await until(lambda: len(asked) >= 8)  # with a backoff of its own the fourth comes after 12 s


async def test_a_token_that_has_expired_is_renewed() -> None:
    imds = Imds()
    async with serving(imds) as service, hearing(ec2.Ec2(service.base, no_jitter, 0.01)) as heard:
        await heard(Withdrawn("ec2-spot"))
        imds.good = "t2"
        imds.answers[SPOT] = f'{{"action":"stop","time":"{TIME}"}}'
        await heard(Foreseen("ec2-spot", AT))
    assert imds.given == 2


async def test_an_instance_on_demand_is_asked_nothing_more() -> None:
    imds = Imds()
    imds.answers[LIFE] = "on-demand"
    async with serving(imds) as service, hearing(ec2.Ec2(service.base, no_jitter, 0.0)):
        await until(lambda: len(service.asked) >= 2)
        await trio.sleep(0.05)
        assert [one.path for one in service.asked] == ["/latest/api/token", LIFE]


class Gce:
    """Google's service: hangs until the value or the etag is another, for `timeout_sec` at most."""

    def __init__(self) -> None:
        self.values = {"preempted": "FALSE", "maintenance-event": "NONE"}
        self.etags = dict.fromkeys(self.values, 1)
        self.refused = 0

    def change(self, name: str, value: str) -> None:
        self.values[name], self.etags[name] = value, self.etags[name] + 1

    async def __call__(self, asked: Asked) -> Said:
        name = asked.path.rpartition("/")[2]
        if asked.headers.get("metadata-flavor") != "Google" or asked.query["wait_for_change"] != "true":
            self.refused += 1
            return Said(403)
        known = asked.query.get("last_etag", str(self.etags[name]))
        with trio.move_on_after(float(asked.query["timeout_sec"])):
            while known == str(self.etags[name]):  # noqa: ASYNC110 - as in until()
                await trio.sleep(0.002)
        return Said(body=self.values[name], headers={"ETag": str(self.etags[name])})


def foreseen(said: list[Any]) -> list[Foreseen]:
    return [one for one in said if isinstance(one, Foreseen)]


async def test_gcp_hears_a_change_while_its_question_hangs() -> None:
    gce = Gce()
    async with serving(gce) as service, hearing(gcp.Gcp(service.base, no_jitter, hang=1)) as heard:
        said = await heard(Withdrawn("gcp-preempted"))
        await until(lambda: any("last_etag" in one.query for one in service.asked))
        began = time.time()
        gce.change("preempted", "TRUE")
        await until(lambda: foreseen(said))
        assert began + 29 < foreseen(said)[0].deadline < time.time() + 31
    assert gce.refused == 0


async def test_a_change_between_two_questions_of_gcps_is_not_missed() -> None:
    gce = Gce()
    async with serving(gce) as service, hearing(gcp.Gcp(service.base, no_jitter, hang=0)) as heard:
        said = await heard(Withdrawn("gcp-maintenance"))
        gce.change("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")
        await until(lambda: foreseen(said))


AZURE_NAME = "/metadata/instance/compute/name"
PREEMPT = (
    '{"DocumentIncarnation":2,"Events":[{"EventId":"1","EventType":"Preempt","ResourceType":"VirtualMachine",'
    '"Resources":["vm-1"],"EventStatus":"Scheduled","NotBefore":"Mon, 18 Sep 2017 08:22:00 GMT"}]}'
)


class AzureService:
    """Scheduled Events for the machine vm-1."""

    def __init__(self, events: str = '{"DocumentIncarnation":1,"Events":[]}') -> None:
        self.events = events

    async def __call__(self, asked: Asked) -> Said:
        if (
            asked.headers.get("metadata") != "true"
            or asked.method != "GET"
            or "api-version" not in asked.query
        ):
            return Said(400)
        return Said(body="vm-1" if asked.path == AZURE_NAME else self.events)


async def test_azure_is_asked_for_the_machines_own_name_and_never_answered() -> None:
    service_of = AzureService()
    async with serving(service_of) as service, hearing(azure.Azure(service.base, no_jitter, 0.01)) as heard:
        await heard(Withdrawn("azure"))
        service_of.events = PREEMPT.replace("vm-1", "vm-2")
        service.asked.clear()
        await until(lambda: len(service.asked) >= 3)
        assert Foreseen("azure", AT) not in await heard(Withdrawn("azure"))
        service_of.events = PREEMPT
        await heard(Foreseen("azure", AT))
    assert {one.method for one in service.asked} == {"GET"}


SOURCES: dict[str, tuple[Callable[[str], Source], Any, Any]] = {
    "ec2": (
        lambda base: ec2.Ec2(base, no_jitter, 0.01),
        lambda: Imds(spot=f'{{"action":"terminate","time":"{TIME}"}}'),
        "ec2-spot",
    ),
    "azure": (lambda base: azure.Azure(base, no_jitter, 0.01), lambda: AzureService(PREEMPT), "azure"),
    "gcp": (lambda base: gcp.Gcp(base, no_jitter, 0.05), Gce, "gcp-preempted"),
}
USELESS = {
    "garbage": Said(raw=b"\x00\xff not http at all\r\n\r\n"),
    "half an answer": Said(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
    "somebody's page": Said(body="<html>TRUE</html>"),
    "an error": Said(500, "no"),
    "a flood": Said(body="x" * (2 << 20)),
    "nonsense": Said(
        body='{"action": 7, "time": [], "Events": [7, {"Resources": "vm-1"}]}', headers={"ETag": "\x01"}
    ),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("useless", USELESS)
async def test_a_service_of_no_use_is_no_notice_and_is_heard_when_it_recovers(
    name: str, useless: str
) -> None:
    make, service_of, source = SOURCES[name]
    well = service_of()
    ill = True

    async def handler(asked: Asked) -> Said:
        return USELESS[useless] if ill else await well(asked)

    async with serving(handler) as service, hearing(make(service.base)) as heard:
        await until(lambda: len(service.asked) >= 2)
        ill = False
        if name == "gcp":
            said = await heard(Withdrawn(source))
        else:
            said = await heard(Foreseen(source, AT))
        assert not [one for one in said if isinstance(one, Foreseen) and one.deadline != AT]


@pytest.mark.parametrize("name", SOURCES)
async def test_a_service_that_hangs_or_is_absent_says_nothing_and_fails_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("respoold.io.notices.metadata.ANSWER_SECONDS", 0.05)
    make, _, _ = SOURCES[name]

    async def hang(_: Asked) -> Said:
        await trio.sleep_forever()
        raise AssertionError

    async with serving(hang) as service, hearing(make(service.base)) as heard:
        await until(lambda: service.asked)
        base = service.base
    said: list[Any] = []
    with trio.move_on_after(0.3):
        await make(base).watch(said.append)  # nobody listens there any more
    assert said == []
    assert heard


async def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    service_of = AzureService(PREEMPT)
    async with serving(service_of) as service, hearing(azure.Azure(service.base, no_jitter, 0.01)) as heard:
        await heard(Foreseen("azure", AT))


async def test_a_file_is_a_notice_while_it_is_there_and_may_name_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "going"
    async with hearing(File(str(path), 0.01)) as heard:
        await heard(Withdrawn("file"))
        path.write_text("1505722920\nby the night shift")
        said = await heard(Foreseen("file", AT))
        path.write_text("soon")
        await heard(Foreseen("file", 0.0))
        said.clear()
        path.unlink()
        await heard(Withdrawn("file"))
        path.mkdir()
        await heard(Foreseen("file", 0.0))


async def test_a_file_that_nobody_can_look_at_withdraws_nothing_and_is_complained_of_until_it_can_be(
    tmp_path: Path,
) -> None:
    path, said = tmp_path / "going", list[str]()
    path.write_text("1505722920")
    async with hearing(File(str(path), 0.01, said.append)) as heard:
        events = await heard(Foreseen("file", AT))
        # A ring of links can be neither read nor said to be gone, as a file on a share that fails.
        (tmp_path / "ring").symlink_to("going")
        (tmp_path / "ring").replace(path)
        await until(lambda: any("cannot be looked at" in one for one in said))
        events.clear()
        await heard(Foreseen("file", AT))
        assert set(events) == {Foreseen("file", AT)}
        assert "its notice stands" in said[-1]
        path.unlink()
        await heard(Withdrawn("file"))
        assert said[-1] == ""


async def test_a_share_that_fails_from_the_beginning_is_no_notice(tmp_path: Path) -> None:
    path, said, told = tmp_path / "ring", list[str](), list[object]()
    path.symlink_to(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(File(str(path), 0.01, said.append).watch, told.append)
        await until(lambda: len(said) > 1)
        nursery.cancel_scope.cancel()
    assert told == []
    assert "no notice comes from it" in said[0]


async def test_a_file_on_a_share_that_hangs_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, freed, waited = threading.Event(), threading.Event(), list[bool]()

    def hangs(_: str) -> None:
        asked.set()
        waited.append(freed.wait(5))

    monkeypatch.setattr("respoold.io.notices.own._beginning", hangs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(File("/share/notice").watch, lambda _: None)
        await until(asked.is_set)
        freed.set()
        await until(lambda: waited)
        nursery.cancel_scope.cancel()
    assert waited == [True]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1505722920.5\nnight shift", AT + 0.5),
        ("1505722920000", 0.0),
        ("9" * 64, 0.0),
        ("30", 0.0),
        ("-5", 0.0),
        ("²", 0.0),
    ],
)
def test_what_is_no_time_in_seconds_is_no_deadline(text: str, at: float) -> None:
    assert deadline_in(text) == at


async def test_a_command_is_a_notice_while_it_succeeds(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = f"import os, sys; print(1505722920.0); sys.exit(not os.path.exists({str(flag)!r}))"
    async with hearing(Command([sys.executable, "-c", code], 0.01)) as heard:
        assert Foreseen("command", AT) not in await heard(Withdrawn("command"))
        flag.touch()
        await heard(Foreseen("command", AT))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["/nowhere/at-all"], "cannot be run: No such file or directory"),
        (["sh", "-c", "sleep 1000 & sleep 1000"], "took longer than"),
        (["yes"], "said more than 1 MiB"),
    ],
)
async def test_a_command_that_cannot_answer_says_nothing_leaves_nothing_and_is_complained_of(
    words: list[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("respoold.io.notices.own.ANSWER_SECONDS", 2.0 if words == ["yes"] else 0.1)
    said, complaints = list[Any](), list[str]()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Command(words, 0.01, complaints.append).watch, said.append)
            await until(lambda: len(complaints) >= 2)
            nursery.cancel_scope.cancel()
    assert said == []
    assert all(why in one and "no notice comes from it" in one for one in complaints)


def squeue(folder: Path, answer: str) -> list[str]:
    """A squeue that notes what it was asked; a file `answer` is what it says."""
    (folder / "answer").write_text(answer)
    code = f"""
import os, sys
with open({str(folder / "asked")!r}, "a") as file:
    print(*sys.argv[1:], os.environ["SLURM_TIME_FORMAT"], file=file)
print(open({str(folder / "answer")!r}).read())
"""
    (folder / "squeue.py").write_text(code)
    return [sys.executable, str(folder / "squeue.py"), "--noheader"]


async def test_slurm_is_asked_once_for_all_jobs_by_who_leads(tmp_path: Path) -> None:
    now = int(time.time())
    command = squeue(tmp_path, f"33_3 {now} {now - 9} {now + 60}\n34 N/A {now - 9} {now + 60}")
    leads, found = list[str](), list[Any]()
    source = Slurm(lambda: leads, lambda *said: found.append(said), no_jitter, 0.01, 0.0, command)
    async with hearing(source):
        await trio.sleep(0.1)
        assert not (tmp_path / "asked").exists()
        leads.append("mini")
        await until(lambda: found)
    assert found[0] == ("mini", {"33_3": ["slurm-preemption", float(now + 60)]})
    assert set((tmp_path / "asked").read_text().splitlines()) == {"--noheader %s"}


async def test_a_controller_that_fails_is_asked_less_and_less(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def fail(_: list[str]) -> None:
        asked.append(trio.current_time())

    # No process: the clock of this test does not wait for one.
    monkeypatch.setattr("respoold.io.notices.slurm._output", fail)
    began, source = trio.current_time(), Slurm(lambda: ["mini"], lambda *_: None, no_jitter)
    with trio.move_on_after(2000):
        await source.watch(lambda _: None)
    assert [round(at - began) for at in asked] == [30, 90, 210, 450, 930, 1530]


async def test_a_squeue_that_is_missing_finds_nothing(tmp_path: Path) -> None:
    found = list[Any]()
    source = Slurm(
        lambda: ["mini"], lambda *said: found.append(said), no_jitter, 0.01, 0.0, ["/nowhere/squeue"]
    )
    with trio.move_on_after(0.2):
        await source.watch(lambda _: None)
    assert found == []


def test_the_machines_own_names_are_read_as_far_as_they_can_be(tmp_path: Path) -> None:
    (tmp_path / "sys_vendor").write_text("Amazon EC2\n")
    assert machine.dmi(str(tmp_path)) == {"sys_vendor": "Amazon EC2"}


@pytest.mark.parametrize(("said", "found"), [("stopping", True), ("running", False), ("", False)])
async def test_a_machine_is_stopping_when_systemd_says_so(said: str, found: bool) -> None:
    ask = [sys.executable, "-c", f"print({said!r}); raise SystemExit(1)"]
    assert await machine.stopping(ask) is found
    assert not await machine.stopping(["/nowhere/systemctl"])
