"""The configuration: file and environment, and how many sessions a machine carries."""

from pathlib import Path

import pytest
import yaml

from node_agent.resources import measure_profile
from node_agent.settings import AgentSettings, SettingsError, load_settings, save_settings
from soterone.domain.profiles import NodeProfile

GIBIBYTE = 2**30


def settings(**changes: object) -> AgentSettings:
    values: dict[str, object] = {
        "name": "clinic",
        "role": "owner",
        "operator": "0x" + "11" * 20,
        "coordinator": "https://127.0.0.1:1",
        "chain_rpc": "http://127.0.0.1:2",
        "listen": "0.0.0.0:4455",
        "endpoint": "clinic.example:4455",
        "password_file": "/run/secrets/password",
    }
    return AgentSettings.model_validate({**values, **changes})


def test_what_is_saved_is_loaded_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    save_settings(path, settings())
    assert load_settings(path) == settings()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        save_settings(path, settings())
    monkeypatch.setenv("SOTER_NODE_CHAIN_RPC", "http://127.0.0.1:3")
    assert load_settings(path).chain_rpc == "http://127.0.0.1:3"


@pytest.mark.parametrize(
    "change", [{"role": "boss"}, {"listen": "nowhere"}, {"max_sessions": 0}, {"typo": 1}]
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**settings().model_dump(mode="json"), **change}))
    with pytest.raises(SettingsError, match=next(iter(change))):
        load_settings(path)


@pytest.mark.parametrize(
    ("cores", "memory", "asked", "expected"),
    [(2, 8, None, 2), (16, 4, None, 4), (8, 64, 3, 3), (1, 0.5, None, 1)],
)
def test_sessions_at_once(cores: int, memory: float, asked: int | None, expected: int) -> None:
    profile = NodeProfile(
        name="x", endpoint="x:1", cpu_cores=cores, memory_bytes=int(memory * GIBIBYTE), disk_bytes=GIBIBYTE
    )
    assert settings(max_sessions=asked).limits(profile).max_sessions == expected


def test_a_profile_is_measured_and_its_hash_is_stable(tmp_path: Path) -> None:
    profile = measure_profile("clinic", "127.0.0.1:1", tmp_path)
    assert profile.cpu_cores >= 1
    assert profile.memory_bytes > 2**26
    assert profile.disk_bytes > 0
    assert NodeProfile.model_validate_json(profile.model_dump_json()).hash == profile.hash
