"""The daemon's configuration: defaults < TOML files < environment < flags. One error lists every bad key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from respool.environment import share_of
from respool.wire import limits
from respoold.core.address import normal, usable

Share = float
"""Part of a whole, from 0 to less than 1."""


class ConfigError(ValueError):
    """Every bad key of a configuration, one a line."""


@dataclass(frozen=True, slots=True)
class Config:
    """All that a daemon is told. Sizes in bytes, times in seconds.

    `blobs_quota` 0 means the smaller of 50 GiB and a fifth of the free space at start. `free_floor`: share of the
    disk that files leave free, such as 0.05 or "5%"; rows stop at half of it. `refusal_patience`: how
    long a hub may refuse records before they are set aside. `nice`: trainers go first where cores are short; on
    two saturated ones it cuts the p99.9 of log() to a tenth. `idle_exit`: end after so long without a client, a
    living run, or anything to send; 0: never. `system_period`: how often the load of jobs is sampled; 0: never.
    `upload_limit`: bytes of files and checkpoints that leave this node a second at most, unless a run here is being
    preempted; 0: no limit. Rows are not counted.

    `hub` is where runs go that name none, by default the first of `hubs`. Users other than the daemon's own may
    use these and no others; its own user may use any. `one_hub`: all runs go to `hub`, whatever they name.
    `insecure`: keys may cross a network in plain text.

    Who says that the machine will be taken away: `cloud` (auto, ec2, gcp, azure, none) at `metadata`, an address
    other than the cloud's own; `shutdown`: systemd, by stopping us with the machine; `slurm`: the controller, which
    one daemon of a cluster asks for all of them every `slurm_period` seconds; `slurm_warning` seconds before a job's
    time limit counts too; `notice_file` exists, or `notice_command` exits 0, as long as a notice of the site's own
    stands.
    """

    spool: str
    socket: str
    hub: str | None = None
    hubs: tuple[str, ...] = ()
    one_hub: bool = False
    api_key: str | None = None
    insecure: bool = False
    rows_quota: int = limits.ROWS_QUOTA
    blobs_quota: int = 0
    free_floor: Share = limits.FREE_FLOOR
    handshake: float = limits.HANDSHAKE_SECONDS
    heartbeat: float = limits.HEARTBEAT_SECONDS
    grace: float = 5.0
    refusal_patience: float = 60.0
    nice: int = 5
    idle_exit: float = 0.0
    system_period: float = 15.0
    upload_limit: int = 0
    cloud: str = "auto"
    metadata: str | None = None
    shutdown: bool = True
    slurm: bool = False
    slurm_period: float = 30.0
    slurm_warning: float = 0.0
    notice_file: str | None = None
    notice_command: tuple[str, ...] = ()


FILES = ("/etc/respool/respoold.toml", "{config}/respool/respoold.toml")
ENVIRONMENT = {
    "RESPOOL_SPOOL_DIR": "spool",
    "RESPOOL_SOCKET": "socket",
    "RESPOOL_HUB_URL": "hub",
    "RESPOOL_API_KEY": "api_key",
    "RESPOOL_ROWS_QUOTA": "rows_quota",
    "RESPOOL_BLOBS_QUOTA": "blobs_quota",
    "RESPOOL_FREE_FLOOR": "free_floor",
    "RESPOOL_IDLE_EXIT": "idle_exit",
    "RESPOOL_UPLOAD_LIMIT": "upload_limit",
}
CREDENTIAL = "hub-key"
CLOUDS = ("auto", "ec2", "gcp", "azure", "none")
SLURM_SHORTEST = 30.0
"""Seconds: a controller that is asked more often by every node does nothing else."""
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def load(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in force. `flags` holds what was given on the command line; None means not given.

    Raises ConfigError with one line per bad key, naming where it stands and its value.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, tuple[str, Any]] = {key: ("default", value) for key, value in _defaults(environ).items()}
    bad: list[str] = []
    for path in FILES:
        found |= _from_file(path.format(config=_config_home(environ)), bad)
    found |= {key: (name, environ[name]) for name, key in ENVIRONMENT.items() if environ.get(name)}
    found |= {key: (f"--{key.replace('_', '-')}", value) for key, value in flags.items() if value is not None}
    values = {key: _convert(key, where, value, bad) for key, (where, value) in found.items()}
    bad += _bad_hubs(found, values) + _bad_notices(found, values)
    if bad:
        raise ConfigError("\n".join(bad))
    config = Config(**values)
    if config.hub is None and config.hubs:
        config = replace(config, hub=config.hubs[0])
    if config.api_key is None and config.hub is not None:
        stored = stored_key(config.hub, environ)
        config = replace(config, api_key=credential(environ) or (stored.secret if stored else None))
    return config


def _bad_hubs(found: Mapping[str, tuple[str, Any]], values: dict[str, Any]) -> list[str]:
    """What is wrong with the hubs; their spelling is made the one under which they are filed."""
    hub, hubs = values.get("hub"), tuple(normal(url) for url in values.get("hubs") or ())
    values["hubs"] = hubs
    bad = [
        f"{found['hubs'][0]}: hubs names {url!r}, which is no hub's address"
        for url in hubs
        if not usable(url)
    ]
    if hub is not None:
        values["hub"] = normal(hub)
    return bad


def _bad_notices(found: Mapping[str, tuple[str, Any]], values: Mapping[str, Any]) -> list[str]:
    bad = []
    if "cloud" in found and values["cloud"] not in {None, *CLOUDS}:
        known = ", ".join(CLOUDS)
        bad.append(f"{found['cloud'][0]}: cloud = {values['cloud']!r} is none of {known}")
    if "slurm_period" in found and (values["slurm_period"] or SLURM_SHORTEST) < SLURM_SHORTEST:
        where, period = found["slurm_period"]
        bad.append(f"{where}: slurm_period = {period!r} is less than {SLURM_SHORTEST:.0f} seconds")
    return bad


class Key(NamedTuple):
    """A key for a hub. `insecure`: it may cross a network in plain text."""

    secret: str
    insecure: bool = False


def keys_for(config: Config, hub: str, environ: Mapping[str, str] | None = None) -> list[Key]:
    """The keys that this daemon has for a hub at this moment, the one to try first first: files are read anew, so
    that a key which was replaced is found without a restart. Raises ConfigError for a file that cannot be used.
    """
    environ = os.environ if environ is None else environ
    stored = stored_key(hub, environ)
    insecure = config.insecure or (stored is not None and stored.insecure)
    secrets = [config.api_key, credential(environ)] if hub == config.hub else []
    secrets.append(stored.secret if stored else None)
    return [Key(secret, insecure) for secret in dict.fromkeys(secrets) if secret]


def credential(environ: Mapping[str, str]) -> str | None:
    """The key that systemd handed to this service (LoadCredential=hub-key:...), or None."""
    try:
        with open(os.path.join(environ["CREDENTIALS_DIRECTORY"], CREDENTIAL), encoding="utf-8") as file:
            return file.readline().strip() or None
    except (KeyError, FileNotFoundError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the credential {CREDENTIAL}: cannot be read ({error})") from error


def stored_key(hub: str, environ: Mapping[str, str]) -> Key | None:
    """The key that `respool login` kept for a hub, or None. A file that others can read is refused."""
    path = os.path.join(_config_home(environ), "respool", "credentials.toml")
    try:
        if os.stat(path).st_mode & 0o077:
            raise ConfigError(f"{path}: other users can read these keys; run: chmod 600 {path}")
        with open(path, "rb") as file:
            hubs = tomllib.load(file).get("hubs", {})
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error}); run `respool login {hub}` again") from error
    found = hubs.get(normal(hub), hubs.get(hub, {}))
    key = found.get("api_key")
    return Key(key, found.get("insecure") is True) if isinstance(key, str) else None


def _defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    home = environ.get("HOME", "/root")
    state = environ.get("STATE_DIRECTORY") or os.path.join(
        environ.get("XDG_STATE_HOME") or os.path.join(home, ".local/state"), "respool", os.uname().nodename
    )
    runtime = environ.get("XDG_RUNTIME_DIR") or os.path.join(state, "run")
    return {"spool": state, "socket": os.path.join(runtime, "respool", "respoold.sock")}


def _config_home(environ: Mapping[str, str]) -> str:
    return environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/root"), ".config")


def _from_file(path: str, bad: list[str]) -> dict[str, tuple[str, Any]]:
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        bad.append(f"{path}: cannot be read ({error})")
        return {}
    return {key: (path, value) for key, value in values.items()}


def _convert(key: str, where: str, value: Any, bad: list[str]) -> Any:
    types = {field.name: str(field.type) for field in fields(Config)}
    if key not in types:
        bad.append(f"{where}: unknown key {key!r}; known are {', '.join(sorted(types))}")
        return None
    try:
        return _as(types[key], value)
    except ValueError as error:
        bad.append(f"{where}: {key} = {value!r} is {error}")
        return None


def _as(kind: str, value: Any) -> Any:
    if kind.startswith("str"):
        if not isinstance(value, str) or not value:
            raise ValueError("not a text")
        return value
    if kind == "bool":
        if isinstance(value, bool):
            return value
        raise ValueError("neither true nor false")
    if kind.startswith("tuple"):
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise ValueError("no list of texts")
    if kind == "Share":
        return _share(str(value))
    number = size_of(value) if kind == "int" else float(value)
    if number < 0:
        raise ValueError("negative")
    return number


def _share(text: str) -> float:
    try:
        return share_of(text.strip())
    except ValueError as error:
        raise ValueError(f"not {error}") from None


def size_of(value: Any) -> int:
    """Bytes, as a number or as text such as "500M" or "2 GiB"."""
    if isinstance(value, int):
        return value
    text = str(value).strip().lower().removesuffix("ib").removesuffix("b").strip()
    unit = text[-1:] if text[-1:] in _UNITS and text[-1:] else ""
    try:
        return int(float(text.removesuffix(unit)) * _UNITS[unit])
    except ValueError:
        raise ValueError("not a size such as 500M or 2GiB") from None
