"""What `soter` remembers between commands: the network, the wallet's keystore and a token. Never a password."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from soterone.client.customer import Customer
from soterone.client.errors import ClientError, Refused
from soterone.crypto.accounts import Signer, account_of_keystore, open_keystore
from soterone.domain.ids import Account

FOLDER_VARIABLE, PASSWORD_VARIABLE = "SOTER_HOME", "SOTER_PASSWORD_FILE"


class Network(BaseModel):
    """Where the customer signed in, and the chain node it trusts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coordinator: str
    rpc: str
    ca_file: Path | None
    keystore: Path


@dataclass(frozen=True)
class LockedWallet:
    """A keystore that asks for its password when it must sign, and only then."""

    path: Path
    password_file: Path | None

    @property
    def account(self) -> Account:
        """The account that signatures are of."""
        return account_of_keystore(self.path)

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest after unlocking the keystore once."""
        return self._signer.sign(digest)

    @cached_property
    def _signer(self) -> Signer:
        return open_keystore(self.path, read_password(self.password_file, f"Password of {self.path}"))


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one customer: `SOTER_HOME`, by default `~/.soterone`."""

    folder: Path

    @classmethod
    def current(cls) -> "Home":
        """Return the folder that this command works in."""
        return cls(Path(os.environ.get(FOLDER_VARIABLE, "~/.soterone")).expanduser())

    @property
    def network(self) -> Network:
        """Return the network that `soter login` chose; ClientError when there was no login."""
        try:
            return Network.model_validate_json((self.folder / "network.json").read_bytes())
        except FileNotFoundError as error:
            raise ClientError("you are not signed in: run `soter login` first") from error
        except ValidationError as error:
            raise ClientError(
                f"{self.folder / 'network.json'} is damaged: run `soter login` again"
            ) from error

    def remember(self, network: Network, token: str) -> None:
        """Keep network and token, readable by their owner alone."""
        self._write("network.json", network.model_dump_json())
        self._write("token", json.dumps({"token": token}))

    def open(self) -> Customer:
        """Return the customer, signed in: with the token kept, or anew when that has expired."""
        network = self.network
        password_file = os.environ.get(PASSWORD_VARIABLE)
        wallet = LockedWallet(network.keystore, Path(password_file) if password_file else None)
        customer = Customer.connect(
            network.coordinator, wallet, network.rpc, network.ca_file, self.folder, self.token
        )
        try:
            next(customer.queries(), None)
        except Refused as refusal:
            if refusal.status != 401:
                raise
            customer.transport.token = customer.sign_in()
            self.remember(network, customer.transport.token)
        return customer

    @property
    def token(self) -> str | None:
        """Return the token of the last sign-in, which may have expired; None without one."""
        try:
            return str(json.loads((self.folder / "token").read_text())["token"])
        except (OSError, ValueError, KeyError):
            return None

    def _write(self, name: str, content: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.folder / f".{name}.part"
        draft.touch(mode=0o600)
        draft.write_text(content)
        draft.replace(self.folder / name)


def read_password(file: Path | None, prompt: str, confirm: bool = False) -> str:
    """Return the password in a file, or ask for it; ClientError when the file cannot be read."""
    if file is None:
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    try:
        return file.read_text().rstrip("\n")
    except OSError as error:
        raise ClientError(f"the password file {file} cannot be read: {error.strerror}") from error
