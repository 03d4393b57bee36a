"""What rings the bell of a watched folder, and what must not; and where the kernel cannot be asked to watch."""

from pathlib import Path

import pytest
import trio

from respool import mounts
from respoold.io.watch import watching

TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:21 / /dev/shm rw,nosuid - tmpfs tmpfs rw
40 22 0:50 / /home rw,relatime - nfs4 server:/home rw,vers=4.2
41 40 0:51 / /home/my\\040scratch rw - lustre mds@tcp:/x rw
42 22 0:52 / /mnt/cloud rw - fuse.sshfs host: rw
43 22 8:1 / /homes rw - xfs /dev/sda1 rw
"""


@pytest.mark.parametrize("kind", ["ext4", "nfs4", "fuse.sshfs"])
async def test_a_new_file_rings_and_reading_one_does_not(tmp_path: Path, kind: str) -> None:
    old = tmp_path / "old"
    old.write_text("x")
    async with watching(lambda _: kind, poll=0.05) as watcher:
        watcher.cover([str(tmp_path)])
        assert watcher.polled() == (set() if kind == "ext4" else {str(tmp_path)})
        for _ in range(3):
            old.read_text()
            list(tmp_path.iterdir())
        with trio.move_on_after(0.3) as silence:
            await watcher.bell.wait()
        assert silence.cancelled_caught
        (tmp_path / "part").write_text("y")
        (tmp_path / "part").rename(tmp_path / "new")
        with trio.fail_after(10):
            await watcher.bell.wait()


async def test_a_folder_is_watched_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    async with watching() as watcher:
        watcher.cover([str(tmp_path / "link")])
        (tmp_path / "real" / "new").write_text("y")
        with trio.fail_after(10):
            await watcher.bell.wait()


async def test_folders_come_go_and_may_be_missing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with watching() as watcher:
        watcher.cover([str(tmp_path / "one"), str(tmp_path / "missing")])
        watcher.cover([str(tmp_path / "two"), str(tmp_path / "missing")])
        (tmp_path / "one" / "new").write_text("y")
        with trio.move_on_after(0.3) as silence:
            await watcher.bell.wait()
        assert silence.cancelled_caught
        (tmp_path / "two" / "new").write_text("y")
        with trio.fail_after(10):
            await watcher.bell.wait()


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/var/lib", "ext4", False),
        ("/home/me/runs", "nfs4", True),
        ("/home/my scratch/x", "lustre", True),
        ("/mnt/cloud", "fuse.sshfs", True),
        ("/homes/me", "xfs", False),
        ("/dev/shm/x", "tmpfs", False),
    ],
)
def test_the_longest_mount_point_says_what_a_path_is_on(
    tmp_path: Path, path: str, kind: str, shared: bool
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert mounts.kind_of(path, str(table)) == kind
    assert mounts.is_shared(kind) is shared


def test_a_table_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert mounts.kind_of("/", str(tmp_path / "none")) == ""
    assert mounts.kind_of("/")


@pytest.mark.parametrize("kind", ["ext4", "nfs4"])
@pytest.mark.parametrize("written", [False, True])
async def test_a_file_that_was_written_rings_who_asked_for_it(
    tmp_path: Path, kind: str, written: bool
) -> None:
    old = tmp_path / "old"
    old.write_text("x")
    async with watching(lambda _: kind, poll=0.05, written=written) as watcher:
        watcher.cover([str(tmp_path)])
        await trio.sleep(0.2)
        old.write_text("other")
        with trio.move_on_after(10 if written else 0.3) as silence:
            await watcher.bell.wait()
        assert silence.cancelled_caught is not written
