"""Everything that can be set: `coordinator.toml` in the data folder, overridden by environment `SOTER_…`."""

import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import make_url

from coordinator.database import check_url

CONFIG_NAME = "coordinator.toml"


class SettingsError(Exception):
    """The settings cannot be used; the text says which and what would do."""


class Settings(BaseSettings):
    """One object a process, made in `__main__` and passed down. Secrets are paths to files.

    What a query does waits for `confirmations` (1: mined), what a node is paid or punished for for `final_depth_blocks`
    more. A head limit of 0 suits a chain that mines on demand alone.
    """

    model_config = SettingsConfigDict(env_prefix="SOTER_", extra="forbid", frozen=True)

    data_dir: Path
    database_url: str = ""
    deployment_file: Path
    key_file: Path
    key_password_file: Path | None = None
    chain_rpc: str
    chain_ws: str | None = None
    confirmations: int = Field(1, ge=1)
    final_depth_blocks: int = Field(12, ge=0)
    chain_poll_seconds: float = Field(1.0, gt=0)
    chain_answer_limit_seconds: float = Field(30.0, gt=0)
    head_age_limit_seconds: float = Field(60.0, ge=0)

    host: str = "127.0.0.1"
    public_host: str = "127.0.0.1"
    rest_port: int = Field(0, ge=0, le=65535)
    agents_port: int = Field(0, ge=0, le=65535)
    enrolment_port: int = Field(0, ge=0, le=65535)
    cors_origins: tuple[str, ...] = ()

    heartbeat_interval_seconds: float = Field(2.0, gt=0)
    heartbeat_patience: int = Field(3, ge=1)
    heartbeat_batch_seconds: float = Field(0.08, gt=0)
    offer_poll_seconds: float = Field(0.1, gt=0)
    certificate_days: int = Field(90, ge=1)
    registration_wait_seconds: float = Field(60.0, gt=0)

    sign_in_seconds: int = Field(300, ge=10)
    token_seconds: int = Field(3600, ge=60)
    max_body_bytes: int = Field(1 << 20, ge=1024)
    request_timeout_seconds: float = Field(60.0, gt=0)
    max_connections: int = Field(2000, ge=10)

    @field_validator("database_url")
    @classmethod
    def _usable(cls, url: str) -> str:
        if url:
            check_url(url)
        return url

    @property
    def database(self) -> str:
        """The database's URL; SQLite in the data folder unless another is set."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'coordinator.sqlite'}"

    @property
    def many_processes(self) -> bool:
        """Whether several processes may serve at once, on the same ports; SQLite serves one."""
        return make_url(self.database).get_backend_name() != "sqlite"

    @property
    def patience_seconds(self) -> float:
        """How long a node stays online after a heartbeat."""
        return self.heartbeat_interval_seconds * self.heartbeat_patience

    @property
    def certificate_hosts(self) -> tuple[str, ...]:
        """The names and addresses that the server certificate is valid for."""
        hosts = [self.public_host, "localhost", "127.0.0.1"]
        if _is_specific(self.host):
            hosts.append(self.host)
        return tuple(dict.fromkeys(hosts))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then what `load` took from the file."""
        return env_settings, init_settings


def load(data_dir: Path, **overrides: Any) -> Settings:
    """Return the settings of a data folder; SettingsError when it has none or one is wrong.

    Overrides that are not None take the place of what the file says; the environment takes the place of both.
    """
    path = data_dir / CONFIG_NAME
    if not path.is_file():
        raise SettingsError(f"{data_dir} is no coordinator's folder; run soter-coordinator init first")
    try:
        values = TomlConfigSettingsSource(Settings, path)()
        given = {name: value for name, value in overrides.items() if value is not None}
        return Settings(**{**values, **given, "data_dir": data_dir})
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}: {name}: {first['msg']}") from error


def render(values: dict[str, Any]) -> str:
    """Return settings as TOML, one `name = value` a line; paths and texts in basic strings."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    if any(ord(character) < 32 for character in text):
        raise SettingsError(f"the value {text!r} has control characters")
    return f'"{text}"'


def _is_specific(host: str) -> bool:
    try:
        return not ip_address(host).is_unspecified
    except ValueError:
        return True
