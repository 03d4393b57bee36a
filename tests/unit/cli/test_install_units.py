"""The units: documented, understood by systemd, tight, and written for the respool that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import respoold
from respoold.cli.commands import install_units
from unit.cli.fake_hub import Answer

Respool = Callable[..., Answer]
SHIPPED = Path(__file__).parents[3] / "systemd"
UNITS = sorted(SHIPPED.glob("*/*"))
DIRECTIVE = re.compile(r"[A-Z][A-Za-z]*=")
needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


def name_of(path: Path) -> str:
    return str(path.relative_to(SHIPPED))


def installed(respool: Respool, root: Path, *words: str) -> list[Path]:
    """The units in a folder of their own, for executables that are there."""
    executables = root / "opt with blank" / "100%"
    executables.mkdir(parents=True, exist_ok=True)
    for name in ("respool", "respoold"):
        (executables / name).write_text("#!/bin/sh\n")
        (executables / name).chmod(0o755)
    answer = respool("install-units", "--prefix", str(root), "--bin", str(executables), *words)
    assert answer.code == 0, answer.err
    return sorted((root / "etc/systemd").glob("*/*"))


def analyze(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze, knowing no other units than those of `root` and the system's own."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "XDG_RUNTIME_DIR": str(root),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        ["systemd-analyze", *words], env=environ, cwd=root, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Not below /tmp, which the command refuses for good reasons; a name short enough for systemd."""
    monkeypatch.setattr(install_units, "HIDDEN", ("/home", "/root"))
    made = Path("/var/tmp") / f"units-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def test_the_units_are_the_five_that_are_promised() -> None:
    assert [name_of(path) for path in UNITS] == [
        "system/respool-hub.service",
        "system/respoold.service",
        "system/respoold.socket",
        "user/respoold.service",
        "user/respoold.socket",
    ]


@pytest.mark.parametrize("path", UNITS, ids=name_of)
def test_every_directive_has_a_comment_of_its_own(path: Path) -> None:
    lines = path.read_text().splitlines()
    directives = [at for at, line in enumerate(lines) if DIRECTIVE.match(line)]
    assert len(directives) > 5
    bare = [lines[at] for at in directives if not re.match(r"# \S", lines[at - 1])]
    assert bare == []
    known = [line for line in lines if line == "" or line[0] in "#[" or DIRECTIVE.match(line)]
    assert known == lines, "a line that is neither comment, section nor directive"


@needs_analyze
@pytest.mark.parametrize("words", [[], ["--user"]], ids=["system", "user"])
def test_systemd_finds_nothing_to_say_about_the_units(respool: Respool, root: Path, words: list[str]) -> None:
    units = installed(respool, root, *words)
    done = analyze(root, *words, "verify", "--man=no", *map(str, units))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_analyze
def test_a_unit_with_a_misspelt_directive_would_have_been_noticed(respool: Respool, root: Path) -> None:
    unit = next(path for path in installed(respool, root) if path.name == "respoold.service")
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSecs="))
    assert "WatchDogSecs" in analyze(root, "verify", "--man=no", str(unit)).stderr


@needs_analyze
@pytest.mark.parametrize(("name", "most"), [("respoold.service", 2.0), ("respool-hub.service", 1.5)])
def test_systemd_rates_the_exposure_of_a_service_below(
    respool: Respool, root: Path, name: str, most: float
) -> None:
    unit = next(path for path in installed(respool, root) if path.name == name)
    done = analyze(root, "security", "--offline=true", "--no-pager", str(unit))
    rated = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert rated, done.stdout + done.stderr
    assert float(rated[1]) < most


def test_the_units_start_the_executables_that_were_named(respool: Respool, root: Path) -> None:
    units = installed(respool, root)
    lines = [
        line for unit in units for line in unit.read_text().splitlines() if line.startswith("ExecStart=")
    ]
    folder = f"{root}/opt with blank/100%%"
    assert lines == [
        f'ExecStart="{folder}/respool" hub --data %S/respool-hub --listen ${{RESPOOL_HUB_LISTEN}}',
        f'ExecStart="{folder}/respoold"',
    ]


@pytest.mark.parametrize(
    ("path", "written"),
    [("/opt/r/respoold", "/opt/r/respoold"), ("/o p/%x", '"/o p/%%x"'), ('/a"b\\c', '"/a\\"b\\\\c"')],
)
def test_a_path_is_written_as_systemd_reads_it_back(path: str, written: str) -> None:
    assert install_units.quoted(path) == written


def test_only_the_executables_path_is_changed(respool: Respool, root: Path) -> None:
    for unit in installed(respool, root):
        shipped = (SHIPPED / unit.parent.name / unit.name).read_text().splitlines()
        changed = [old for old, new in zip(shipped, unit.read_text().splitlines(), strict=True) if old != new]
        assert all(line.startswith("ExecStart=") for line in changed)
        assert unit.stat().st_mode & 0o777 == 0o644


def test_user_units_go_to_the_users_own_folder_and_name_the_installed_daemon(
    respool: Respool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    answer = respool("install-units", "--user")
    assert answer.code == 0, answer.err
    unit = tmp_path / "config/systemd/user/respoold.service"
    daemon = os.path.join(os.path.dirname(sys.executable), "respoold")
    assert f"ExecStart={install_units.quoted(daemon)}" in unit.read_text().splitlines()
    assert "systemctl --user enable --now respoold.socket" in answer.out


def test_what_is_there_is_replaced_and_said_so(respool: Respool, root: Path) -> None:
    first, *_ = installed(respool, root)
    first.write_text("mine\n")
    again = respool("install-units", "--prefix", str(root), "--bin", f"{root}/opt with blank/100%")
    said = [line.split()[0] for line in again.out.splitlines() if line.endswith((".service", ".socket"))]
    assert sorted(said[:3]) == ["replaced", "unchanged", "unchanged"]
    assert first.read_text() != "mine\n"


def test_a_dry_run_shows_the_units_and_writes_nothing(respool: Respool, root: Path) -> None:
    answer = respool("install-units", "--dry-run", "--prefix", str(root), "--bin", "/opt/respool/bin")
    assert answer.code == 0
    assert f"### {root}/etc/systemd/system/respoold.socket" in answer.out
    assert "ExecStart=/opt/respool/bin/respoold" in answer.out.splitlines()
    assert list(root.iterdir()) == []


def test_it_enables_nothing_and_says_what_does(respool: Respool, root: Path) -> None:
    installed(respool, root)
    answer = respool("install-units", "--prefix", str(root), "--bin", "/usr/bin")
    for line in ("systemctl daemon-reload", "systemctl enable --now respoold.socket respoold.service"):
        assert line in answer.out
    assert {path.name for path in (root / "etc/systemd").iterdir()} == {"system"}


def test_system_units_need_root_and_the_error_says_how(
    respool: Respool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install_units, "target", lambda *_: str(tmp_path / "never"))
    answer = respool("install-units", "--bin", "/opt/respool/bin")
    assert answer.code == 2
    assert "you are uid 1000" in answer.err
    assert "sudo" in answer.err
    assert "--user" in answer.err
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("folder", [f"/{top}/venv/bin" for top in ("home/ada", "root", "tmp")])
def test_executables_that_a_service_cannot_see_are_refused(respool: Respool, folder: str) -> None:
    answer = respool("install-units", "--dry-run", "--bin", folder)
    assert answer.code == 2
    assert folder in answer.err
    assert "--user" in answer.err


def test_a_relative_folder_of_executables_is_refused(respool: Respool) -> None:
    answer = respool("install-units", "--dry-run", "--bin", "venv/bin")
    assert answer.code == 2
    assert "'venv/bin'" in answer.err


def test_a_folder_that_cannot_be_written_is_named(respool: Respool, tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file")
    answer = respool("install-units", "--prefix", str(tmp_path), "--bin", "/usr/bin")
    assert answer.code == 1
    assert str(tmp_path / "etc") in answer.err


def test_an_installed_package_is_asked_for_its_own_units_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, respool: Respool
) -> None:
    (tmp_path / "respoold/_systemd/user").mkdir(parents=True)
    (tmp_path / "respoold/_systemd/user/one.service").write_text("ExecStart=/usr/bin/respoold\n")
    monkeypatch.setattr(respoold, "__file__", str(tmp_path / "respoold/__init__.py"))
    assert "one.service" in respool("install-units", "--user", "--dry-run").out
    shutil.rmtree(tmp_path / "respoold/_systemd")
    answer = respool("install-units", "--user", "--dry-run")
    assert answer.code == 1
    assert "The units are missing" in answer.err
