"""Parts of checkpoints back from a real hub, and shared memory on its way to the disk."""

from __future__ import annotations

import os
import random

import pytest
import trio
from blake3 import blake3

from respool_hub.service.access import Scope
from respoold.core import hubapi
from respoold.core.checkpoints import Part, Share, Stage
from respoold.core.errors import HubAway, HubRefused
from respoold.io import chunks
from respoold.io.blobs import BlobGoneError
from respoold.io.bulk import Pace
from respoold.io.hub import Credential, HubDoor
from respoold.io.partial import Partial
from respoold.tasks import ferry, recall
from respoold.tasks.staging import Staging
from unit.hub.kit import Desk, name, served
from unit.hub.test_http import Web

MIB = 1 << 20
RUN = ("anna", "p", "run")


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def site(tmp_path):
    """A hub with run anna/p/run and its first attempt: (url, key)."""
    desk = Desk(tmp_path / "data")
    path = tmp_path / "hub.sock"
    with served(desk.hub, path) as client:
        root = Web(client, (tmp_path / "data" / "admin-key").read_text().strip())
        key = root.json("POST", "/v1/keys", 201, json={"user": "anna", "scope": Scope.WRITE.name.lower()})[
            "key"
        ]
        Web(client, key).attach(name(1))
        yield f"unix:{path}", key
    desk.close()


@pytest.fixture
def spool(tmp_path):
    folder = tmp_path / "attempt"
    (folder / "blobs").mkdir(parents=True)
    return str(folder)


def blob(spool, token, data):
    with open(os.path.join(spool, "blobs", token), "wb") as file:
        file.write(data)


def share(step, *parts, **more):
    return Share("checkpoint", step, 0, step, 1.0, parts, **more)


async def brought(hub, spool, one, limit=100):
    """Ferry a share to its end; the turns it took, and the bytes that were sent."""
    turns = sent = 0
    while one.stage is not Stage.SENT:
        one, moved, _ = await ferry.bring_share(hub, name(1), spool, one)
        turns, sent = turns + 1, sent + moved
        assert turns < limit
    return turns, sent


async def test_a_share_goes_up_in_turns_and_comes_back_bit_for_bit(site, spool, tmp_path, monkeypatch):
    url, key = site
    data, more = noise(1, 21 * MIB + 3), noise(2, 3 * MIB)
    blob(spool, "a", data)
    blob(spool, "b", more)
    monkeypatch.setattr(ferry.bring, "__defaults__", (8 * MIB,))
    async with HubDoor(url, Credential(key)) as hub:
        one = share(10, Part("", "a", len(data)), Part("opt", "b", len(more)), metadata={"loss": 1.0})
        turns, sent = await brought(hub, spool, one)
        assert (turns, sent) == (3, len(data) + len(more))
        assert await brought(hub, spool, share(20, Part("", "a", len(data)))) == (1, 0)
        (newest, older) = await hub.checkpoints(RUN)
        assert (newest["step"], older["metadata"]) == (20, {"loss": 1.0})
        for part, expected in zip(older["parts"], (data, more), strict=True):
            fd = await recall.fetch(hub, RUN, part["digest"], str(tmp_path / "back"))
            with os.fdopen(fd, "rb") as file:
                assert file.read() == expected
        assert os.listdir(tmp_path / "back" / recall.RESTORING) == []


async def test_ranks_that_restore_the_same_part_at_once_have_it_fetched_once(
    site, spool, tmp_path, monkeypatch
):
    url, key = site
    data, asked = noise(6, 9 * MIB), []
    blob(spool, "a", data)
    plain = HubDoor.get_span

    async def counted(self, path, start, end, take):
        asked.append(end - start)
        await plain(self, path, start, end, take)

    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        (told,) = await hub.checkpoints(RUN)
        digest, back, found = told["parts"][0]["digest"], str(tmp_path / "back"), []
        monkeypatch.setattr(HubDoor, "get_span", counted)

        async def restore():
            with os.fdopen(await recall.fetch(hub, RUN, digest, back), "rb") as file:
                found.append(file.read() == data)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(restore)
    assert found == [True] * 4
    assert sum(asked) == len(data)
    assert recall._under_way == {}


async def test_who_waits_for_a_fetch_that_was_given_up_goes_on_with_it(site, spool, tmp_path, monkeypatch):
    url, key = site
    data, plain = noise(7, 5 * MIB), HubDoor.get_span
    blob(spool, "a", data)
    begun, found = trio.Event(), []

    async def stuck(_self, _path, _start, _end, _take):
        monkeypatch.setattr(HubDoor, "get_span", plain)
        begun.set()
        await trio.sleep_forever()

    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        (told,) = await hub.checkpoints(RUN)
        digest, back = told["parts"][0]["digest"], str(tmp_path / "back")
        monkeypatch.setattr(HubDoor, "get_span", stuck)

        async def restore():
            with os.fdopen(await recall.fetch(hub, RUN, digest, back), "rb") as file:
                found.append(file.read() == data)

        async with trio.open_nursery() as nursery, trio.open_nursery() as first:
            first.start_soon(recall.fetch, hub, RUN, digest, back)
            await begun.wait()
            nursery.start_soon(restore)
            nursery.start_soon(restore)
            with trio.fail_after(5):
                while sum(map(len, recall._under_way.values())) < 2:  # noqa: ASYNC110 - a list, no event
                    await trio.sleep(0.01)
            first.cancel_scope.cancel()
    assert found == [True, True]


async def test_files_of_any_size_count_against_the_bandwidth_limit(site, spool):
    url, key = site
    data, now = noise(5, 5 * MIB), [0.0]
    blob(spool, "a", data)
    pace = Pace(1 * MIB, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    async with HubDoor(url, Credential(key), pace) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        assert 4.0 <= now[0] <= 5.0
        small = data[: 2 * MIB]
        await hub.put_blob(blake3(small).hexdigest(), len(small), lambda at, size: small[at : at + size])
        assert 6.0 <= now[0] <= 7.0


async def test_what_came_before_is_checked_and_only_the_rest_is_asked_for(site, spool, tmp_path, monkeypatch):
    url, key = site
    data = noise(3, 13 * MIB)
    blob(spool, "a", data)
    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        digest = (await hub.checkpoints(RUN))[0]["parts"][0]["digest"]
        place = tmp_path / "back" / recall.RESTORING / digest
        place.parent.mkdir(parents=True)
        place.write_bytes(data[: 5 * MIB] + b"damage" + data[5 * MIB + 6 : 9 * MIB])
        asked = []
        real = hub.get_span

        async def counted(path, start, end, take):
            asked.append((start, end))
            await real(path, start, end, take)

        monkeypatch.setattr(hub, "get_span", counted)
        fd = await recall.fetch(hub, RUN, digest, str(tmp_path / "back"))
        with os.fdopen(fd, "rb") as file:
            assert file.read() == data
        assert asked == [(4 * MIB, 13 * MIB)]


async def test_damage_on_the_way_is_no_restored_part(site, spool, tmp_path, monkeypatch):
    url, key = site
    data = noise(4, MIB)
    blob(spool, "a", data)
    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        digest = (await hub.checkpoints(RUN))[0]["parts"][0]["digest"]

        async def damaged(_, start, end, take):
            take(memoryview(bytes(end - start)))

        monkeypatch.setattr(hub, "get_span", damaged)
        with pytest.raises(HubAway, match="damaged"):
            await recall.fetch(hub, RUN, digest, str(tmp_path))
        with pytest.raises(HubRefused, match="no part"):
            await recall.fetch(hub, RUN, "0" * 64, str(tmp_path))


async def test_damage_on_the_way_is_asked_for_once_more(site, spool, tmp_path, monkeypatch):
    url, key = site
    data, asked = noise(4, MIB), []
    blob(spool, "a", data)
    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        digest = (await hub.checkpoints(RUN))[0]["parts"][0]["digest"]
        real = hub.get_span

        async def first_damaged(path, start, end, take):
            asked.append(start)
            await real(
                path, start, end, take if len(asked) > 1 else lambda data: take(memoryview(bytes(len(data))))
            )

        monkeypatch.setattr(hub, "get_span", first_damaged)
        with os.fdopen(await recall.fetch(hub, RUN, digest, str(tmp_path)), "rb") as file:
            assert file.read() == data
    assert asked == [0, 0]


def spoil(folder, how):
    """Damage every blob below a hub's folder."""
    for path in (folder / "blobs").glob("??/*"):
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body if how == "flipped" else body[: len(body) // 2])


@pytest.mark.parametrize("how", ["flipped", "cut"])
async def test_a_chunk_that_is_damaged_at_the_hub_is_said_to_be_and_mended_by_who_saves_it_again(
    site, spool, tmp_path, how
):
    url, key = site
    data = noise(8, 2 * MIB)
    blob(spool, "a", data)
    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        (told,) = await hub.checkpoints(RUN)
        digest = told["parts"][0]["digest"]
        spoil(tmp_path / "data", how)
        for _ in range(2):
            with pytest.raises(HubRefused, match="damaged at the hub"):
                await recall.fetch(hub, RUN, digest, str(tmp_path / "back"))
        assert len(os.listdir(tmp_path / "data" / "blobs" / "damaged")) == 1
        assert await brought(hub, spool, share(2, Part("", "a", len(data)))) == (1, len(data))
        with os.fdopen(await recall.fetch(hub, RUN, digest, str(tmp_path / "back")), "rb") as file:
            assert file.read() == data


async def test_a_chunk_that_the_hub_has_cut_short_is_asked_for_again_at_the_commit(site, spool, tmp_path):
    url, key = site
    data = noise(9, 2 * MIB)
    blob(spool, "a", data)
    async with HubDoor(url, Credential(key)) as hub:
        await brought(hub, spool, share(1, Part("", "a", len(data))))
        spoil(tmp_path / "data", "cut")
        with pytest.raises(HubRefused, match="not here"):
            await brought(hub, spool, share(2, Part("", "a", len(data))))
        assert await brought(hub, spool, share(2, Part("", "a", len(data)))) == (1, len(data))
        digest = (await hub.checkpoints(RUN))[0]["parts"][0]["digest"]
        with os.fdopen(await recall.fetch(hub, RUN, digest, str(tmp_path / "back")), "rb") as file:
            assert file.read() == data


async def test_a_share_whose_bytes_are_not_what_was_recorded_is_never_committed(site, spool):
    url, key = site
    blob(spool, "a", b"short")
    async with HubDoor(url, Credential(key)) as hub:
        with pytest.raises(BlobGoneError, match="has 5 bytes, 6 were recorded"):
            await ferry.bring_share(hub, name(1), spool, share(1, Part("", "a", 6)))
        assert await hub.checkpoints(RUN) == []


def test_a_closed_download_takes_nothing_more(tmp_path):
    partial = Partial(str(tmp_path / "x"), hubapi.Manifest(bytes(32), [5]))
    partial.close()
    with pytest.raises(OSError, match="Bad file"):
        partial.put(memoryview(b"late"), 0)


async def test_memory_is_written_whoever_is_gone_and_the_rest_hears_of_it(spool):
    data, rings = noise(5, 3 * MIB), []
    memory = os.memfd_create("m")
    os.write(memory, data + b"beyond")
    blob(spool, "t", b"")
    async with trio.open_nursery() as nursery:
        staging = Staging(nursery, lambda: rings.append(1))
        assert staging.begin(spool, "t", len(data), memory) is None
        assert staging.busy(spool, "t")
        nursery.cancel_scope.cancel()
    assert (await staging.settled(spool, "t"), staging.busy(spool, "t"), rings) == (None, False, [1])
    assert chunks.settle(spool, "t", len(data)).size == len(data)


async def test_memory_that_is_none_or_too_small_is_refused(spool):
    blob(spool, "t", b"")
    async with trio.open_nursery() as nursery:
        staging = Staging(nursery, lambda: None)
        small = os.memfd_create("m")
        assert "0 bytes, 5 were announced" in str(staging.begin(spool, "t", 5, small))
        read, write = os.pipe()
        os.close(write)
        assert "announced" in str(staging.begin(spool, "t", 0, read))
        other = os.memfd_create("m")
        assert "cannot be written" in str(staging.begin(spool, "nothing", 0, other))
