"""What an agent is configured with: `config.yaml` in its data folder, overridden by `SOTER_NODE_*` variables."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from node_agent.errors import AgentError
from node_agent.sessions.ports import SessionLimits
from soterone.crypto.files import write_private
from soterone.domain.profiles import Endpoint, NodeProfile
from soterone.domain.roles import Role
from soterone.domain.spec import AccountText, describe

RoleName = Literal["owner", "mpc", "both", "detector"]
ROLES: dict[RoleName, Role] = {
    "owner": Role.DATA_OWNER,
    "mpc": Role.MPC_NODE,
    "both": Role.DATA_OWNER | Role.MPC_NODE,
    "detector": Role.DETECTOR,
}
_SESSION_MEMORY_BYTES = 2**30


class SettingsError(AgentError):
    """The data folder or its configuration cannot be used; the text says what to do."""


class AgentSettings(BaseSettings):
    """One agent's configuration. Secrets are paths of files, never values."""

    model_config = SettingsConfigDict(env_prefix="SOTER_NODE_", extra="forbid", frozen=True)

    name: str
    role: RoleName
    detector: bool = False
    operator: AccountText
    coordinator: str
    chain_rpc: str
    chain_websocket: str | None = None
    listen: Endpoint
    endpoint: Endpoint
    password_file: Path
    max_sessions: int | None = Field(None, ge=1, le=64)
    engine_ports: tuple[int, int] = (20_000, 31_999)
    engine_silence_seconds: float = Field(8.0, ge=1, le=600)
    chain_poll_seconds: float = Field(1.0, gt=0, le=60)
    confirmations: int = Field(1, ge=1, le=1000)

    @property
    def roles(self) -> Role:
        """The role bits that this node registers with; `detector` adds that role to any other."""
        return ROLES[self.role] | (Role.DETECTOR if self.detector else Role(0))

    def limits(self, profile: NodeProfile) -> SessionLimits:
        """Return what sessions may use: as many at once as there are cores, and a gibibyte of memory for each."""
        fits = min(profile.cpu_cores, profile.memory_bytes // _SESSION_MEMORY_BYTES)
        return SessionLimits(
            max_sessions=self.max_sessions or max(1, fits),
            engine_ports=self.engine_ports,
            engine_silence_seconds=self.engine_silence_seconds,
        )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """Let the environment win over the file, whose values come in as arguments."""
        return env_settings, init_settings


def load_settings(path: Path) -> AgentSettings:
    """Read `config.yaml`; SettingsError when it is missing or wrong."""
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise SettingsError(f"there is no agent in {path.parent}; run `soter-node init` first") from error
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    try:
        return AgentSettings(**(document if isinstance(document, dict) else {}))
    except ValidationError as error:
        raise SettingsError(f"{path} is wrong at {describe(error)}") from error


def save_settings(path: Path, settings: AgentSettings) -> None:
    """Write a new `config.yaml` (mode 0600); FileExistsError when there is one."""
    document = settings.model_dump(mode="json", exclude_none=True)
    write_private(path, yaml.safe_dump(document, sort_keys=False).encode())
