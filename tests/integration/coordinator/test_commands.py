"""`soter-coordinator` as a process: what it prints, how it ends, and what it says when it cannot."""

import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.chain import DEVELOPER_KEYS, Anvil

from soterone.chain.deployment import Deployment

PROGRAM = Path(sys.executable).parent / "soter-coordinator"
MEMORY_LIMIT_BYTES = 200 * 2**20
START_SECONDS = 120
STOP_SECONDS = 10.0


def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def init(folder: Path, deployment: Deployment, rpc_url: str, *more: str, status: int = 0) -> str:
    deployment.save(folder / "deployment.json")
    (folder / "payer.key").write_text(DEVELOPER_KEYS[0])
    done = run(
        "init", "--data-dir", str(folder / "data"), "--chain-rpc", rpc_url, "--deployment",
        str(folder / "deployment.json"), "--key-file", str(folder / "payer.key"), *more, status=status,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, anvil: Anvil, deployment: Deployment) -> Path:
    """A coordinator's folder, migrated."""
    folder = tmp_path_factory.mktemp("coordinator")
    assert json.loads(init(folder, deployment, anvil.url, "--json"))["account"].startswith("0xf39F")
    run("migrate", "--data-dir", str(folder / "data"))
    return folder


class Served:
    """One `serve`; `addresses` is the line that it printed."""

    def __init__(self, folder: Path, *more: str) -> None:
        command = [PROGRAM, "serve", "--data-dir", str(folder / "data"), *more]
        self.log = folder / "serve.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.stop(signal.SIGKILL)
            raise AssertionError(self.log.read_text())
        self.addresses: dict[str, str] = json.loads(line)

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        started = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(30)
        seconds = time.monotonic() - started
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status, seconds


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with Served(folder) as served:
        yield served


def test_serving_small(served: Served) -> None:
    assert set(served.addresses) == {"rest", "agents", "enrolment"}
    statm = Path(f"/proc/{served.process.pid}/statm").read_text().split()
    assert int(statm[1]) * os.sysconf("SC_PAGE_SIZE") <= MEMORY_LIMIT_BYTES


def test_ending_soon(folder: Path) -> None:
    """Open streams get a second to finish; nothing waits for longer."""
    with Served(folder) as served:
        status, taken = served.stop()
    assert status == 0
    assert taken <= STOP_SECONDS


def test_ctrl_c_ends_it_too(served: Served) -> None:
    assert served.stop(signal.SIGINT)[0] == 0


def test_the_same_addresses_after_a_restart(folder: Path) -> None:
    with Served(folder) as first:
        first.stop()
    with Served(folder) as again:
        assert first.addresses == again.addresses


def test_a_second_one_on_the_same_file_says_so(folder: Path, served: Served) -> None:
    done = run("serve", "--data-dir", str(folder / "data"), "--only", "sender", status=1)
    assert "SQLite serves one process" in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_named(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        init(tmp_path, deployment, anvil.url, "--rest-port", str(taken.getsockname()[1]))
        run("migrate", "--data-dir", str(tmp_path / "data"))
        done = run("serve", "--data-dir", str(tmp_path / "data"), status=1)
    assert "cannot listen on 127.0.0.1:" in done.stderr


def test_a_database_of_another_kind_is_refused(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    said = init(tmp_path, deployment, anvil.url, "--database-url", "mysql://root:secret@host/soter", status=1)
    assert "postgresql+psycopg://" in said
    assert "secret" not in said
    assert not (tmp_path / "data").exists()


def test_a_database_that_is_away_is_named(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://soter:secret@127.0.0.1:{free.getsockname()[1]}/soter"
        init(tmp_path, deployment, anvil.url, "--database-url", url)
        done = run("status", "--data-dir", str(tmp_path / "data"), status=3)
    assert "gives no answer" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("service", ["api", "rpc", "follower", "sender", "reconciler"])
def test_each_service_starts_alone(folder: Path, service: str) -> None:
    expected = {"api": {"rest"}, "rpc": {"agents", "enrolment", "health"}}
    with Served(folder, "--only", service) as alone:
        assert set(alone.addresses) == expected.get(service, {"health"})
        if "health" in alone.addresses:
            assert httpx.get(f"{alone.addresses['health']}/healthz").json() == {"status": "alive"}
        assert alone.stop()[0] == 0


def test_an_unknown_service_is_wrong_usage(folder: Path) -> None:
    assert "is no service" in run("serve", "--data-dir", str(folder / "data"), "--only", "x", status=2).stderr


def test_the_log_is_json_without_secrets(folder: Path, served: Served) -> None:
    served.stop()
    log = served.log.read_text()
    assert log
    for line in log.splitlines():
        json.loads(line)
    assert DEVELOPER_KEYS[0][2:] not in log


def test_status_counts(folder: Path) -> None:
    answer = json.loads(run("status", "--data-dir", str(folder / "data"), "--json").stdout)
    assert answer["nodes"] == {}
    assert answer["outbox"] == {"due": 0, "sent": 0}


def test_migrating_again_changes_nothing(folder: Path) -> None:
    answer = json.loads(run("migrate", "--data-dir", str(folder / "data"), "--json").stdout)
    assert answer["before"] == answer["after"]


def test_a_folder_is_not_overwritten(folder: Path, deployment: Deployment, anvil: Anvil) -> None:
    assert "not empty" in init(folder, deployment, anvil.url, status=1)


def test_secrets_are_for_the_owner_alone(folder: Path) -> None:
    for name in ("ca.key", "server.key", "sign-in.secret", "coordinator.toml"):
        assert (folder / "data" / name).stat().st_mode & 0o077 == 0, name


def test_an_empty_database_is_named(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    init(tmp_path, deployment, anvil.url)
    assert (
        "run soter-coordinator migrate" in run("serve", "--data-dir", str(tmp_path / "data"), status=1).stderr
    )


def test_a_newer_database_is_named(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    init(tmp_path, deployment, anvil.url)
    run("migrate", "--data-dir", str(tmp_path / "data"))
    with sqlite3.connect(tmp_path / "data" / "coordinator.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "revision 9999" in run("serve", "--data-dir", str(tmp_path / "data"), status=1).stderr


def test_an_empty_database_is_rebuilt_once(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    init(tmp_path, deployment, anvil.url)
    folder = ("--data-dir", str(tmp_path / "data"))
    assert "run soter-coordinator migrate" in run("rebuild", *folder, status=1).stderr
    run("migrate", *folder)
    report = json.loads(run("rebuild", *folder, "--json").stdout)
    assert set(report) == {"block", "events", "nodes", "queries", "unfinished"}
    assert report["block"] > 0
    assert "make a new database" in run("rebuild", *folder, status=1).stderr
    status = json.loads(run("status", *folder, "--json").stdout)
    assert status["block"] == report["block"]


def test_an_unreachable_chain_is_named(tmp_path: Path, deployment: Deployment) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert "gives no answer" in init(tmp_path, deployment, url, status=3)
    assert not (tmp_path / "data").exists()


def test_a_key_that_is_none_is_named(tmp_path: Path, deployment: Deployment, anvil: Anvil) -> None:
    deployment.save(tmp_path / "deployment.json")
    (tmp_path / "payer.key").write_text("not a key")
    done = run(
        "init", "--data-dir", str(tmp_path / "data"), "--chain-rpc", anvil.url, "--deployment",
        str(tmp_path / "deployment.json"), "--key-file", str(tmp_path / "payer.key"), status=1,
    )  # fmt: skip
    assert "neither a keystore" in done.stderr


def test_no_folder_is_named(tmp_path: Path) -> None:
    assert "soter-coordinator init" in run("serve", "--data-dir", str(tmp_path), status=1).stderr
