"""Makes a coordinator's folder: authority, server key, sign-in secret and settings."""

import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError

from coordinator.keys import SECRET_NAME, read_key
from coordinator.settings import CONFIG_NAME, Settings, SettingsError, render
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment
from soterone.chain.records import Contracts
from soterone.crypto.certificates import CertificateAuthority, new_tls_key
from soterone.crypto.files import write_private
from soterone.domain.ids import Account

_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `init` is told. A port of 0 becomes a free one, for good."""

    data_dir: Path
    chain_rpc: str
    chain_ws: str | None
    deployment: Path
    key_file: Path
    key_password_file: Path | None
    database_url: str | None
    host: str
    public_host: str
    rest_port: int
    agents_port: int
    enrolment_port: int
    cors_origins: tuple[str, ...]


async def initialise(wishes: Wishes) -> Account:
    """Write the folder and return the coordinator's account. Nothing is written when something is wrong.

    Errors: SettingsError when the folder is in use, KeystoreError, DeploymentError, ChainError.
    """
    folder = wishes.data_dir.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder} is not empty; choose a new folder, or serve from this one")
    signer = read_key(wishes.key_file, wishes.key_password_file)
    deployment = Deployment.load(wishes.deployment)
    async with await ChainClient.connect(wishes.chain_rpc, Contracts.of(deployment)):
        pass
    values = _values(wishes, folder)
    _check(values, folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    CertificateAuthority.create().save(folder)
    write_private(folder / "server.key", new_tls_key())
    write_private(folder / SECRET_NAME, secrets.token_hex(32).encode())
    deployment.save(folder / "deployment.json")
    write_private(folder / CONFIG_NAME, render(values).encode())
    return signer.account


def _check(values: dict[str, object], folder: Path) -> None:
    try:
        Settings.model_validate({**values, "data_dir": folder})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise SettingsError(f"{first['loc'][0]}: {first['msg']}") from error


def _values(wishes: Wishes, folder: Path) -> dict[str, object]:
    wanted = (wishes.rest_port, wishes.agents_port, wishes.enrolment_port)
    rest_port, agents_port, enrolment_port = _free_ports(wishes.host, wanted)
    password = wishes.key_password_file
    return {
        "database_url": wishes.database_url or "",
        "deployment_file": folder / "deployment.json",
        "key_file": wishes.key_file.absolute(),
        "key_password_file": password.absolute() if password else None,
        "chain_rpc": wishes.chain_rpc,
        "chain_ws": wishes.chain_ws or _local_socket(wishes.chain_rpc),
        "host": wishes.host,
        "public_host": wishes.public_host,
        "rest_port": rest_port,
        "agents_port": agents_port,
        "enrolment_port": enrolment_port,
        "cors_origins": list(wishes.cors_origins),
    }


def _free_ports(host: str, wanted: tuple[int, ...]) -> list[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as held:
        ports = []
        for port in wanted:
            listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if port == 0:
                _bind_free(listener, host)
            ports.append(port or int(listener.getsockname()[1]))
        return ports


def _bind_free(listener: socket.socket, host: str) -> None:
    try:
        listener.bind((host, 0))
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}: it is not an address of this machine") from error


def _local_socket(chain_rpc: str) -> str | None:
    """A node on this machine answers WebSockets at the same address, as anvil and geth --dev do."""
    parts = urlsplit(chain_rpc)
    if parts.hostname not in _LOCAL:
        return None
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))
