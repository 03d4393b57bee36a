"""What rings the bell of a watched folder, and what must not."""

from pathlib import Path

import trio

from respoold.io.watch import watch


async def test_a_new_file_rings_and_reading_one_does_not(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("x")
    async with watch(str(tmp_path)) as bell:
        for _ in range(3):
            old.read_text()
            list(tmp_path.iterdir())
        with trio.move_on_after(0.3) as silence:
            await bell.wait()
        assert silence.cancelled_caught
        (tmp_path / "part").write_text("y")
        (tmp_path / "part").rename(tmp_path / "new")
        with trio.fail_after(10):
            await bell.wait()


async def test_a_folder_is_watched_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    async with watch(str(tmp_path / "link")) as bell:
        (tmp_path / "real" / "new").write_text("y")
        with trio.fail_after(10):
            await bell.wait()
