"""Which hubs and which keys a daemon knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from respoold.config import ConfigError, Key, keys_for, load
from respoold.tasks.uplink import Uplinks


def test_the_first_of_several_hubs_is_the_default_and_spellings_are_one(tmp_path: Path) -> None:
    folder = tmp_path / ".config/respool"
    folder.mkdir(parents=True)
    (folder / "respoold.toml").write_text('hubs = ["https://a.example/", "https://b.example"]\n')
    config = load({}, {"HOME": str(tmp_path)})
    assert (config.hub, config.hubs) == ("https://a.example", ("https://a.example", "https://b.example"))
    assert (
        load({}, {"HOME": str(tmp_path), "RESPOOL_HUB_URL": "https://b.example/"}).hub == "https://b.example"
    )


@pytest.mark.parametrize(
    "hubs", ['"https://a.example"', "[5]", '["ftp://a"]', '["https://"]', '["unix:relative"]']
)
def test_a_list_of_hubs_that_is_none_is_named(tmp_path: Path, hubs: str) -> None:
    folder = tmp_path / ".config/respool"
    folder.mkdir(parents=True)
    (folder / "respoold.toml").write_text(f"hubs = {hubs}\n")
    with pytest.raises(ConfigError, match=r"respoold\.toml: hubs"):
        load({}, {"HOME": str(tmp_path)})


def stored(folder: Path, key: str, *, more: str = "") -> None:
    path = folder / ".config/respool/credentials.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[hubs."https://a.example"]\napi_key = "{key}"\n{more}')
    path.chmod(0o600)


def test_keys_are_looked_for_anew_the_explicit_one_first(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "RESPOOL_HUB_URL": "https://a.example", "RESPOOL_API_KEY": "rsp_env"}
    config = load({}, environ)
    assert keys_for(config, "https://a.example", environ) == [Key("rsp_env")]
    stored(tmp_path, "rsp_new", more="insecure = true\n")
    assert keys_for(config, "https://a.example", environ) == [Key("rsp_env", True), Key("rsp_new", True)]
    assert keys_for(config, "https://b.example", environ) == [], "a key is for one hub"


def test_the_share_of_the_disk_that_stays_free_is_one(tmp_path: Path) -> None:
    assert load({}, {"HOME": str(tmp_path)}).free_floor == 0.1
    assert load({}, {"HOME": str(tmp_path), "RESPOOL_FREE_FLOOR": "2.5%"}).free_floor == 0.025
    for bad in ("1", "100%", "-1%", "nan", "much"):
        with pytest.raises(
            ConfigError, match=rf"RESPOOL_FREE_FLOOR: free_floor = '{bad}' is not a share such"
        ):
            load({}, {"HOME": str(tmp_path), "RESPOOL_FREE_FLOOR": bad})


def test_what_may_leave_a_second_is_a_size_and_binds_all_users_and_hubs_together(tmp_path: Path) -> None:
    config = load({"hub": "http://127.0.0.1:1"}, {"HOME": str(tmp_path), "RESPOOL_UPLOAD_LIMIT": "50M"})
    assert config.upload_limit == 50 << 20

    async def paces() -> set[int]:
        uplinks = Uplinks(config)
        return {id(one.pace) for one in (uplinks.of(1, None), uplinks.of(2, "http://127.0.0.1:2")) if one}

    assert len(trio.run(paces)) == 1
