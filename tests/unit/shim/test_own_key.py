"""Which key of the user's own a daemon is shown."""

import os

import pytest

from respool.own_key import key_for

HUB = "https://hub.example"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "respool"
    folder.mkdir()

    def keep(text, mode=0o600):
        path = folder / "credentials.toml"
        path.write_text(text)
        path.chmod(mode)

    keep(f'[hubs."{HUB}"]\napi_key = "rsp_kept"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    return environ, keep


def test_the_key_that_login_kept_is_for_its_hub_and_for_a_daemon_of_others(home):
    environ, _ = home
    assert key_for(HUB + "/", environ, own_daemon=False) == "rsp_kept"
    assert key_for(HUB, environ, own_daemon=True) is None, "one's own daemon reads the file itself"
    assert key_for("https://other.example", environ, own_daemon=False) is None
    assert key_for(None, environ, own_daemon=False) is None


@pytest.mark.parametrize(
    ("named", "expected"),
    [({}, "rsp_env"), ({"RESPOOL_HUB_URL": HUB + "/"}, "rsp_env"), ({"RESPOOL_HUB_URL": "x"}, None)],
)
def test_the_key_of_the_environment_is_shown_to_the_hub_of_the_environment_only(home, named, expected):
    environ = {**home[0], "RESPOOL_API_KEY": " rsp_env ", **named}
    assert key_for(HUB, environ, own_daemon=True) == expected


def test_a_file_that_others_read_is_not_used_and_says_so_once(home, capfd):
    environ, keep = home
    keep(f'[hubs."{HUB}"]\napi_key = "rsp_kept"\n', 0o640)
    assert key_for(HUB, environ, own_daemon=False) is None
    assert "chmod 600" in capfd.readouterr().err
    assert os.path.exists(os.path.join(environ["XDG_CONFIG_HOME"], "respool/credentials.toml"))


@pytest.mark.parametrize(
    "text", ["", "[", "hubs = 5\n", f'[hubs."{HUB}"]\napi_key = 7\n', f'hubs."{HUB}" = 1\n', "\xff"]
)
def test_a_file_that_makes_no_sense_is_no_key(home, text):
    environ, keep = home
    keep(text)
    assert key_for(HUB, environ, own_daemon=False) is None
