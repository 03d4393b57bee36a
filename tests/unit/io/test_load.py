"""Looking at a machine: this one, a made-up one, and an nvidia-smi of our own."""

import os
import subprocess
import sys

import pytest

from respoold.io import load
from respoold.io.load import Eyes

SMI = """#!/bin/sh
echo asked >> {log}
case "$1" in
    --query-gpu*) echo "GPU-1, 0, 97, 40000, 81920, 301.5, 66"; echo "GPU-2, 1, 3, 10, 81920, [N/A], [N/A]" ;;
    *) echo "GPU-1, 4242, 39000"; echo "GPU-1, 4243, [N/A]" ;;
esac
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    def make(text):
        path = tmp_path / "nvidia-smi"
        path.write_text(text.format(log=tmp_path / "log"))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path / "log"

    return make


def test_this_machine_is_seen():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        look = Eyes().look()
        assert look.running[child.pid].parent == os.getpid()
        assert look.running[os.getpid()].rss > 1 << 20
        assert look.running[os.getpid()].cpu > 0
        assert look.memory is not None
        assert 0 < look.memory[0] < look.memory[1]
        assert 0 < look.counters["cpu_busy"] < look.counters["cpu_all"]
    finally:
        child.communicate()


def test_odd_names_of_commands_do_not_shift_the_fields(tmp_path):
    fields = ["S", "7", *["0"] * 9, "250", "50", *["0"] * 6, "99", "0", "10", "0"]
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "stat").write_text(f"42 (a) b (c)) {' '.join(fields)}\n")
    (tmp_path / "43").mkdir()
    (tmp_path / "net").mkdir()
    lines = [
        "h",
        "h",
        "    lo: 5 0 0 0 0 0 0 0 5 0",
        "  eth0: 100 1 0 0 0 0 0 0 30 0",
        "eth1:1 1 0 0 0 0 0 0 2 0",
    ]
    (tmp_path / "net" / "dev").write_text("\n".join(lines))
    look = Eyes(str(tmp_path)).look()
    one = look.running[42]
    assert (one.parent, one.began, one.cpu) == (7, 99, 300 / os.sysconf("SC_CLK_TCK"))
    assert one.rss == 10 * os.sysconf("SC_PAGE_SIZE")
    assert list(look.running) == [42]
    assert look.counters == {"net_in": 101.0, "net_out": 32.0}
    assert look.memory is None


def test_gpus_are_asked_of_nvidia_smi(smi):
    smi(SMI)
    first, second = Eyes().look().gpus
    assert first.facts == {
        "index": 0, "utilization": 97, "memory": 40000 << 20, "memory_total": 81920 << 20, "power": 301.5,
        "temperature": 66,
    }  # fmt: skip
    assert first.users == {4242: 39000 << 20}
    assert second.facts == {"index": 1, "utilization": 3, "memory": 10 << 20, "memory_total": 81920 << 20}


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\necho x >> {log}\nexit 9\n", "#!/bin/sh\necho x >> {log}\nexec sleep 60\n"]
)
def test_a_driver_that_fails_or_hangs_is_soon_left_alone(smi, monkeypatch, text):
    monkeypatch.setattr(load, "GPU_SECONDS", 0.2)
    log = smi(text)
    eyes = Eyes()
    for _ in range(6):
        assert eyes.look().gpus == ()
    assert len(log.read_text().splitlines()) == load.GPU_FAILURES
