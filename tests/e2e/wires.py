"""Nodes that share nothing but a cable: a network, a host name and a boot id each, and a hub in a network of its own.

The namespaces belong to processes that sleep, and are gone with them. The process that runs the tests is in the
hub's network meanwhile, and whatever it starts there, unless it is wrapped.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.processes import Process, until
from e2e.sites import Node, Site

HUB = "10.213.0.1"
LISTEN = f"http://{HUB}:8412"
ALONE = ("unshare", "--net", "--uts", "--mount", "--propagation=private")
SLEEP = 'hostname "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id && exec sleep infinity'
TRIAL = """
hostname trial && mount --bind "$1" /proc/sys/kernel/random/boot_id &&
ip link add one type veth peer name other && ip route add unreachable 10.213.0.1
"""
BACK = 'cd "$1" && shift && exec "$@"'
_NEWNET = 0x40000000


def cannot() -> str | None:
    """Why there can be no such nodes here, or None."""
    missing = [tool for tool in ("ip", "unshare", "nsenter", "hostname") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} missing"
    trial = [*ALONE, "sh", "-c", TRIAL, "sh", __file__]
    done = subprocess.run(trial, capture_output=True, text=True)
    return None if done.returncode == 0 else f"no networks can be made: {done.stderr.strip()}"


@contextmanager
def wired(names: str) -> Iterator[Site]:
    """A site whose nodes are those, its hub up and reached by every node, no daemon started."""
    mine = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        with Site(listen=LISTEN) as site:
            try:
                hub = _place(site, "hub")
                _enter(f"/proc/{hub.pid}/ns/net")
                _call("ip", "link", "set", "lo", "up")
                _call("ip", "address", "add", f"{HUB}/32", "dev", "lo")
                for number, name in enumerate(names):
                    node = site.node if not number else site.add_node(name)
                    _connect(site, node, number + 1)
                site.hub.start()
                site.give_keys()
                yield site
            finally:
                _set(mine)
    finally:
        os.close(mine)


def cut(node: Node) -> None:
    """The hub cannot be reached from this node any more."""
    _call(*node.wrapper, "ip", "route", "replace", "unreachable", HUB)


def mend(node: Node) -> None:
    """It can again."""
    gateway = _address(node.site.nodes.index(node) + 1, 1)
    _call(*node.wrapper, "ip", "route", "replace", HUB, "via", gateway)


def _place(site: Site, name: str) -> Process:
    """A process that keeps a machine's namespaces."""
    boot = site.path(f"boot-{name}")
    with open(boot, "w", encoding="ascii") as file:
        file.write(f"{uuid.uuid4()}\n")
    sleeper = site.process(
        f"place-{name}", [*ALONE, "sh", "-c", SLEEP, "sh", name, boot], dict(os.environ)
    ).launch()
    until(lambda: _word(sleeper.pid) == "sleep", f"the place of {name}", 10, sleeper.words)
    return sleeper


def _connect(site: Site, node: Node, number: int) -> None:
    """A cable from the node to the hub, and everything of the node from then on at its end."""
    place = _place(site, node.name)
    inside = ["nsenter", f"--target={place.pid}", "--net", "--uts", "--mount"]
    node.wrapper = [*inside, "sh", "-c", BACK, "sh", node.work]
    node.daemon.argv[:0] = node.wrapper
    node.configure(heartbeat=1.0)
    node.insecure = True
    here, there = f"hub{number}", f"node{number}"
    _call("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(place.pid))
    _call("ip", "address", "add", f"{_address(number, 1)}/24", "dev", here)
    _call("ip", "link", "set", here, "up")
    _call(*node.wrapper, "ip", "link", "set", "lo", "up")
    _call(*node.wrapper, "ip", "address", "add", f"{_address(number, 2)}/24", "dev", there)
    _call(*node.wrapper, "ip", "link", "set", there, "up")
    mend(node)


def _address(number: int, end: int) -> str:
    return f"10.213.{number}.{end}"


def _call(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"


def _word(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()


def _enter(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        _set(fd)
    finally:
        os.close(fd)


def _set(fd: int) -> None:
    """This thread, and what it starts, are in that network from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
