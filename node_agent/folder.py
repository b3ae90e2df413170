"""The agent's data folder: where each file of it stands, and the lock that keeps a second agent out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node_agent.errors import AgentError


class AlreadyRunning(AgentError):
    """Another process runs on this data folder."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths inside one data folder (mode 0700)."""

    path: Path

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "config.yaml"

    @property
    def policy(self) -> Path:
        """What this node lends itself to; the one file made to be edited."""
        return self.path / "policy.yaml"

    @property
    def keystore(self) -> Path:
        """The node's account, encrypted."""
        return self.path / "keystore.json"

    @property
    def tls_key(self) -> Path:
        """The TLS private key, PEM."""
        return self.path / "tls-key.pem"

    @property
    def tls_certificate(self) -> Path:
        """The certificate that registration gave, PEM."""
        return self.path / "tls-certificate.pem"

    @property
    def network(self) -> Path:
        """The network's description and the contracts' code hashes, as they were at init."""
        return self.path / "network.json"

    @property
    def profile(self) -> Path:
        """The profile that was measured at init and is signed at registration."""
        return self.path / "profile.json"

    @property
    def store(self) -> Path:
        """The agent's SQLite file."""
        return self.path / "agent.sqlite3"

    @property
    def appeals(self) -> Path:
        """What this node answers to claims against it, a JSON file each."""
        return self.path / "appeals"

    def create(self) -> None:
        """Make the folder when absent; its owner alone may look inside."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.chmod(0o700)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; AlreadyRunning when another one does."""
        descriptor = os.open(self.path / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"another soter-node runs on {self.path}; stop it first, or use another --data-dir"
            ) from error
        else:
            yield
        finally:
            os.close(descriptor)

    def locked(self) -> bool:
        """Say whether a process holds the folder now."""
        try:
            with self.lock():
                return False
        except AlreadyRunning:
            return True
