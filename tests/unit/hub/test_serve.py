import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from respool_hub.app import serve
from respool_hub.config import ConfigError, HubConfig, Listen, parse_listen
from respoold.core import hubapi
from unit.hub.kit import asked, name, rows

PROGRAM = """
import sys
from respool_hub.app import serve
from respool_hub.config import ConfigError, HubConfig
try:
    serve(HubConfig(sys.argv[1], sys.argv[2]))
except ConfigError as error:
    sys.exit(f"config: {error}")
"""


def start(data, listen):
    command = [sys.executable, "-c", PROGRAM, str(data), listen]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stop(hub, number=signal.SIGTERM):
    hub.send_signal(number)
    out, err = hub.communicate(timeout=20)
    return hub.returncode, out, err


def test_one_ready_line_a_clean_stop_and_no_socket_left(tmp_path):
    path = tmp_path / "hub.sock"
    hub = start(tmp_path / "data", f"unix:{path}")
    assert hub.stdout.readline() == f"respool hub ready at unix:{path} (data in {tmp_path / 'data'})\n"
    assert os.stat(path).st_mode & 0o777 == 0o600
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://hub") as client:
        assert client.get("/v1/health").status_code == 200
        code, out, err = stop(hub)
    assert (code, out) == (0, "")
    assert "admin-key" in err
    assert not path.exists()


def test_systemd_is_told_of_the_beginning_of_life_and_of_the_end(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        hub = start(tmp_path / "data", "127.0.0.1:0")
        heard = {systemd.recv(100)}
        while heard < {b"READY=1", b"WATCHDOG=1"}:
            heard.add(systemd.recv(100))
        assert stop(hub)[0] == 0
        while b"STOPPING=1" not in heard:
            heard.add(systemd.recv(100))
        assert heard == {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}


def test_a_port_of_ones_own_is_told_and_sigkill_leaves_nothing_that_hinders(tmp_path):
    data = tmp_path / "data"
    hub = start(data, "127.0.0.1:0")
    url = hub.stdout.readline().split()[4]
    assert httpx.get(url + "/v1/health", trust_env=False).status_code == 200
    assert stop(hub, signal.SIGKILL)[0] == -signal.SIGKILL
    again = start(data, url.removeprefix("http://"))
    assert again.stdout.readline().startswith(f"respool hub ready at {url} ")
    assert stop(again, signal.SIGINT)[0] == 0


def test_what_was_acknowledged_survives_sigkill_at_any_moment_once(tmp_path):
    attempt, acked = name(1), 0
    for life in range(5):
        hub, web = start_tcp(tmp_path / "data")
        killer = threading.Timer(0.05 + 0.05 * life, hub.kill)
        with web:
            web.post("/v1/attach", content=hubapi.dump(asked(attempt))).raise_for_status()
            killer.start()
            acked = until_killed(web, attempt, acked)
        killer.join()
        hub.communicate(timeout=20)
    hub, web = start_tcp(tmp_path / "data")
    with web:
        kept = upload(web, attempt, 0, b"")
        lines = web.get("/v1/runs/admin/p/run/history").text.splitlines()
    assert stop(hub)[0] == 0
    assert kept >= acked > 0
    assert [json.loads(line)["_step"] for line in lines] == list(range(kept))


def until_killed(web, attempt, acked):
    while True:
        try:
            acked = max(acked, upload(web, attempt, acked, rows(acked, range(acked, acked + 7))))
        except httpx.TransportError:
            return acked


def start_tcp(data):
    hub = start(data, "127.0.0.1:0")
    url = hub.stdout.readline().split()[4]
    headers = {"authorization": f"Bearer {(data / 'admin-key').read_text().strip()}"}
    return hub, httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=20)


def upload(web, attempt, first, data):
    answer = web.post(f"/v1/attempts/{attempt}/records/0?first_seq={first}", content=data)
    return hubapi.load(hubapi.Appended, answer.content).next_seq


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    path = tmp_path / "hub.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ConfigError, match="another process"):
            serve(HubConfig(str(tmp_path / "data"), f"unix:{path}"))
    hub = start(tmp_path / "data", f"unix:{path}")
    assert hub.stdout.readline().startswith("respool hub ready")
    assert stop(hub)[0] == 0


def test_a_second_hub_on_the_same_data_is_refused(desk, tmp_path):
    with pytest.raises(ConfigError, match="another hub"):
        serve(HubConfig(str(tmp_path / "data"), "127.0.0.1:0"))


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)):
            serve(HubConfig(str(tmp_path / "data"), f"127.0.0.1:{port}"))
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/data"):
        serve(HubConfig(str(tmp_path / "file" / "data"), "127.0.0.1:0"))


def test_a_file_in_the_place_of_the_socket_is_kept(tmp_path):
    path = tmp_path / "hub.sock"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="it is a file"):
        serve(HubConfig(str(tmp_path / "data"), f"unix:{path}"))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "listen", ["", "8080", ":80", "host:", "host:x", "host:70000", "unix:", "unix:rel", "unix:/" + "x" * 200]
)
def test_an_address_that_is_none_is_named(listen):
    with pytest.raises(ConfigError, match="listen is"):
        HubConfig("data", listen)


def test_addresses_are_read(tmp_path):
    assert parse_listen("[::1]:80") == Listen(host="::1", port=80)
    assert parse_listen("unix:/x/y") == Listen(path="/x/y")
    assert HubConfig("data", "h:1").data == os.path.abspath("data")


@pytest.mark.parametrize("more", [{"database": "postgresql://x"}, {"blobs": "s3://x"}])
def test_stores_this_release_has_not_are_refused_by_name(more):
    with pytest.raises(ConfigError, match=next(iter(more))):
        HubConfig("data", "h:1", **more)


def test_a_hub_under_load_stops_within_its_grace(tmp_path):
    path = tmp_path / "hub.sock"
    hub = start(tmp_path / "data", f"unix:{path}")
    hub.stdout.readline()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as half:
        half.connect(str(path))
        half.sendall(b"POST /v1/attach HTTP/1.1\r\nHost: hub\r\nContent-Length: 10\r\n")
        began = time.monotonic()
        assert stop(hub)[0] == 0
    assert time.monotonic() - began < 15
