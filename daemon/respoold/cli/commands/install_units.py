"""Write the systemd units of daemon and hub, for the respool that is installed here.

They go to /etc/systemd/system, or with --user to ~/.config/systemd/user. Nothing
is enabled or started: the commands that do so are printed.

Each directive of the units has a comment that says what it is for. To change
one, use a drop-in (`systemctl edit`): this command writes the units anew.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import NamedTuple

import respoold
from respoold.cli.errors import CommandError, Exit
from respoold.cli.places import SYSTEM_CONFIG
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool install-units --user
  sudo /opt/respool/bin/respool install-units
  respool install-units --dry-run
  respool install-units --prefix build/root --bin /usr/bin    for a package
"""

PACKAGED = "/usr/bin"
"""Where the shipped units look for the executables: a distribution's package needs no change."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - places, not files of ours
"""What ProtectHome= and PrivateTmp= take out of a system service's sight."""
HUB_KEY = "/etc/respool/hub-key"


class Unit(NamedTuple):
    """A unit as it is to be written."""

    path: str
    text: str


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--user", action="store_true", help="for yourself alone: no root, no hub")
    parser.add_argument("--dry-run", action="store_true", help="print the units, write nothing")
    parser.add_argument("--prefix", metavar="DIR", help="write below DIR, as for an image or a package")
    parser.add_argument("--bin", metavar="DIR", help="where respool and respoold are (beside this one)")


def run(args: Namespace, screen: Screen) -> int:
    """Write them, or show them."""
    scope = "user" if args.user else "system"
    folder = args.bin or own_executables()
    if not os.path.isabs(folder):
        raise CommandError(
            Exit.USAGE, f"--bin is {folder!r}, which is no absolute path.", "Name it from / on."
        )
    if not args.user:
        _check_visible([folder] if args.bin else [folder, *_own_parts()])
    units = prepare(_sources(scope), target(scope, args.prefix), folder)
    if args.dry_run:
        _show(screen, units)
    else:
        _check_root(args)
        _write(screen, units)
        _say_next(screen, scope)
    return Exit.DONE


def own_executables() -> str:
    """The folder of the executables that belong to this interpreter. Raises CommandError when there are none."""
    folder = os.path.dirname(os.path.abspath(sys.executable))
    if not os.access(os.path.join(folder, "respoold"), os.X_OK):
        cause = f"There is no respoold in {folder}, where this Python keeps its commands."
        raise CommandError(Exit.USAGE, cause, "Install respool with pip, or name the folder with --bin DIR.")
    return folder


def target(scope: str, prefix: str | None) -> str:
    """The folder that the units go to. Below a prefix a user's units are every user's."""
    if prefix is not None:
        return os.path.join(os.path.abspath(prefix), "etc/systemd", scope)
    if scope == "system":
        return "/etc/systemd/system"
    config = os.environ.get("XDG_CONFIG_HOME", "")
    if not config.startswith("/"):
        config = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "systemd/user")


def prepare(sources: str, folder: str, executables: str) -> list[Unit]:
    """The shipped units of a folder, with the executables of this installation."""
    units = []
    for name in sorted(os.listdir(sources)):
        with open(os.path.join(sources, name), encoding="utf-8") as file:
            lines = [_with_executable(line, executables) for line in file.read().splitlines()]
        units.append(Unit(os.path.join(folder, name), "\n".join(lines) + "\n"))
    return units


def _with_executable(line: str, executables: str) -> str:
    if not line.startswith(f"ExecStart={PACKAGED}/"):
        return line
    command, space, rest = line.removeprefix("ExecStart=").partition(" ")
    return f"ExecStart={quoted(os.path.join(executables, os.path.basename(command)))}{space}{rest}"


def quoted(path: str) -> str:
    """A path as ExecStart= reads it back, where `%`, blanks, quotes and backslashes mean something else."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != path or any(letter.isspace() for letter in path) else path


def _sources(scope: str) -> str:
    """The shipped units: in the package, or in the repository of an editable install."""
    package = os.path.dirname(os.path.abspath(respoold.__file__))
    places = [os.path.join(package, "_systemd"), os.path.join(package, "..", "..", "systemd")]
    for place in places:
        if os.path.isdir(os.path.join(place, scope)):
            return os.path.join(place, scope)
    cause = f"The units are missing: there is no {places[0]}."
    raise CommandError(Exit.BAD, cause, "Install respool again, from a wheel or from a clone.")


def _own_parts() -> list[str]:
    """What the executables need to be read: the interpreter, its library, this package."""
    return [os.path.realpath(sys.executable), sys.base_prefix, os.path.realpath(respoold.__file__)]


def _check_visible(parts: list[str]) -> None:
    for part in parts:
        hidden = next((place for place in HIDDEN if f"{part}/".startswith(f"{place}/")), None)
        if hidden:
            cause = f"{part} is below {hidden}, which a system service does not see."
            advice = (
                "Install it for all, /usr/bin/python3 -m venv /opt/respool && /opt/respool/bin/pip install "
                '"respool[all]", and call /opt/respool/bin/respool install-units; or use --user.'
            )
            raise CommandError(Exit.USAGE, cause, advice)


def _check_root(args: Namespace) -> None:
    if not args.user and args.prefix is None and os.geteuid() != 0:
        cause = f"Units for the whole machine are root's to write, and you are uid {os.geteuid()}."
        own = os.path.abspath(sys.argv[0])
        raise CommandError(
            Exit.USAGE, cause, f"Run `sudo {own} install-units`, or use --user for yourself alone."
        )


def _show(screen: Screen, units: list[Unit]) -> None:
    for unit in units:
        screen.say(f"### {unit.path}", "bold")
        screen.say(unit.text)


def _write(screen: Screen, units: list[Unit]) -> None:
    for unit in units:
        try:
            screen.say(f"{_put(unit):<9}  {unit.path}")
        except OSError as error:
            cause = f"{unit.path} cannot be written: {error.strerror}."
            raise CommandError(Exit.BAD, cause, "Name another place with --prefix DIR.") from error


def _put(unit: Unit) -> str:
    """Write a unit, atomically; says what became of the file."""
    os.makedirs(os.path.dirname(unit.path), exist_ok=True)
    try:
        with open(unit.path, encoding="utf-8", errors="replace") as file:
            before = file.read()
    except FileNotFoundError:
        before = None
    if before == unit.text:
        return "unchanged"
    part = f"{unit.path}.part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(unit.text)
    os.chmod(part, 0o644)
    os.rename(part, unit.path)
    return "written" if before is None else "replaced"


def _say_next(screen: Screen, scope: str) -> None:
    say = screen.say
    say()
    if scope == "user":
        say("Next:", "bold")
        say("  respool login URL                                     your key, once")
        say("  echo 'hub = \"URL\"' >> ~/.config/respool/respoold.toml")
        say("  systemctl --user daemon-reload")
        say("  systemctl --user enable --now respoold.socket respoold.service")
        say("  loginctl enable-linger                                keeps it when you log out")
        return
    say("On every machine that trains:", "bold")
    say(f'  {SYSTEM_CONFIG:<58}a line: hub = "URL"')
    say(f"  {HUB_KEY + ' (mode 0600)':<58}the key for that hub")
    say("  systemctl daemon-reload")
    say("  systemctl enable --now respoold.socket respoold.service")
    say("On the machine of the hub:", "bold")
    say("  systemctl daemon-reload")
    say("  systemctl enable --now respool-hub.service")
