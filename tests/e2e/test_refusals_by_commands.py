"""What the commands do with bad input: one sentence, an exit status that means something, and never a stack trace."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from hospitals import ROOT, Finished, Hospitals, laboratory_table, write_table

from soterone.client.customer import Customer

NOBODY_LISTENS = "127.0.0.1:9"


def refused(finished: Finished, status: int, *words: str) -> None:
    """Check exit status and sentence; a stack trace is no sentence."""
    assert finished.status == status, finished.said
    assert "Traceback" not in finished.said
    assert ".py:" not in finished.said
    assert [word for word in words if word not in finished.said] == [], finished.said


@pytest.fixture(scope="module")
def signed_in(hospitals: Hospitals, customer: Customer) -> None:
    """`soter login`, once for all commands of the customer."""
    finished = hospitals.command("soter", *login(hospitals))
    assert finished.status == 0, finished.said


def login(hospitals: Hospitals, **changes: str) -> list[str]:
    options = {
        "coordinator": hospitals.devnet.rest_url,
        "rpc": hospitals.devnet.rpc_url,
        "ca-file": str(hospitals.devnet.ca_file),
        "keystore": str(hospitals.home / "keystore.json"),
    }
    return ["login", *(f"--{name}={value}" for name, value in {**options, **changes}.items())]


def test_signing_in_where_nobody_answers(hospitals: Hospitals, customer: Customer, tmp_path: Path) -> None:
    def soter(**changes: str) -> Finished:
        return hospitals.command("soter", *login(hospitals, **changes), SOTER_HOME=str(tmp_path))

    refused(soter(coordinator=f"https://{NOBODY_LISTENS}"), 3, "unreachable", NOBODY_LISTENS, "try again")
    refused(soter(rpc=f"http://{NOBODY_LISTENS}"), 3, "unreachable", NOBODY_LISTENS, "Check that it runs")
    refused(soter(coordinator="http://127.0.0.1:1"), 1, "must begin with https://")
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    refused(soter(**{"password-file": str(wrong)}), 1, "password", str(hospitals.home / "keystore.json"))
    unwritable = soter(keystore="/proc/nowhere/keystore.json")
    refused(unwritable, 1, "/proc/nowhere")
    assert not (tmp_path / "token").exists()
    finished = hospitals.command("soter", "query", "list", SOTER_HOME=str(tmp_path))
    refused(finished, 1, "not signed in", "soter login")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", ("must be a mapping",)),
        ("name: [", ("neither JSON nor YAML",)),
        ("name: x\n", ("Field required",)),
        (b"\xff\xc3(", ("neither JSON nor YAML",)),
        ({"algorithm": "[/oracle]"}, ("algorithm '[/oracle]'", "vertical-logistic-regression")),
        ({"datasets": ["clinic patients", "laboratory patients"]}, ("datasets.0", "soter datasets")),
        (None, ("cannot be read", "No such file")),
    ],
    ids=["list", "yaml", "fields", "bytes", "algorithm", "names", "missing"],
)
def test_a_spec_file_that_is_broken(
    hospitals: Hospitals, tmp_path: Path, text: str | bytes | dict[str, object] | None, words: tuple[str, ...]
) -> None:
    file = tmp_path / "spec.yaml"
    if isinstance(text, dict):
        text = yaml.safe_dump(hospitals.spec(**text))
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    refused(hospitals.command("soter", "query", "submit", str(file)), 1, "refused", *words)


def test_a_spec_that_the_network_refuses(hospitals: Hospitals, signed_in: None, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(hospitals.spec(mpc={"minimum_version": "9.9.9"})))
    refused(hospitals.command("soter", "query", "submit", str(file)), 1, "3 MPC nodes", "try again later")
    assert hospitals.left_behind() == []


def test_a_query_that_is_not_mine(hospitals: Hospitals, signed_in: None, tmp_path: Path) -> None:
    nobodys = "0x" + "5" * 64
    refused(hospitals.command("soter", "query", "show", nobodys), 1, f"no query {nobodys} of yours")
    refused(hospitals.command("soter", "rate", nobodys, "0x12=300"), 2, "0 to 100")
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    finished = hospitals.command("soter", "query", "cancel", nobodys, "--yes", SOTER_PASSWORD_FILE=str(wrong))
    refused(finished, 1, "password")


def node(hospitals: Hospitals, name: str, *command: str, **environment: str) -> Finished:
    folder = str(hospitals.devnet.agents[name].folder)
    return hospitals.command("soter-node", *command, "--data-dir", folder, **environment)


def test_a_second_agent_on_the_same_folder(hospitals: Hospitals) -> None:
    refused(node(hospitals, "ada", "run"), 1, "another soter-node runs on", "stop it first")
    refused(node(hospitals, "ada", "unregister"), 1, "is running", "stop it first")
    assert hospitals.devnet.agents["ada"].process.alive


@contextmanager
def taken(endpoint: str) -> Iterator[None]:
    host, _, port = endpoint.rpartition(":")
    with socket.socket() as listener:
        listener.bind((host, int(port)))
        listener.listen()
        yield


def test_an_agent_that_cannot_run(hospitals: Hospitals, tmp_path: Path) -> None:
    folder = hospitals.devnet.agents["archive"].folder
    endpoint = yaml.safe_load((folder / "config.yaml").read_text())["endpoint"]
    with taken(endpoint):
        refused(node(hospitals, "archive", "run"), 1, f"cannot listen on {endpoint}", "change `listen`")
    away = {"SOTER_NODE_CHAIN_RPC": f"http://{NOBODY_LISTENS}", "SOTER_NODE_CHAIN_WEBSOCKET": ""}
    refused(node(hospitals, "archive", "run", **away), 3, NOBODY_LISTENS, "Check that it runs")
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    finished = node(hospitals, "archive", "run", SOTER_NODE_PASSWORD_FILE=str(wrong))
    refused(finished, 1, "password", "keystore.json")
    with hospitals.policy("archive", "customers: [1"):
        refused(node(hospitals, "archive", "run"), 1, "policy.yaml", "is not YAML")
    refused(node(hospitals, "archive", "status"), 0)


def test_an_agent_that_cannot_be_made(hospitals: Hospitals, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")

    def made(**changes: str) -> Finished:
        options = {
            "data-dir": str(tmp_path / "node"), "coordinator": hospitals.devnet.rest_url,
            "ca-file": str(hospitals.devnet.ca_file), "rpc": hospitals.devnet.rpc_url,
            "name": "eva", "role": "mpc", "listen": "127.0.0.1:0", "password-file": str(tmp_path / "password"),
        }  # fmt: skip
        return hospitals.command(
            "soter-node", "init", *(f"--{name}={value}" for name, value in {**options, **changes}.items())
        )

    refused(made(coordinator=f"https://{NOBODY_LISTENS}"), 3, NOBODY_LISTENS, "try again")
    refused(made(rpc=f"http://{NOBODY_LISTENS}"), 3, NOBODY_LISTENS, "Check that it runs")
    refused(made(role="king"), 2, "owner, mpc, both or detector")
    refused(made(listen=urlsplit(hospitals.devnet.rest_url).netloc), 1, "cannot listen", "taken")
    assert not (tmp_path / "node").exists()
    refused(
        hospitals.command("soter-node", "run", "--data-dir", str(tmp_path / "node")), 1, "soter-node init"
    )


def test_tables_that_cannot_be_published(hospitals: Hospitals, tmp_path: Path) -> None:
    table, file = laboratory_table(), tmp_path / "table.csv"

    def add(name: str = "clinic", *options: str) -> Finished:
        return node(hospitals, name, "dataset", "add", str(file), "--name", "more patients", *options)

    refused(add(), 1, "there is no file", str(file))
    write_table(file, {**table, "id": ["P7777", "P7777", *table["id"][2:]]})
    finished = add()
    refused(finished, 1, "'id' has duplicate ids", "keep one row for each id")
    assert "P7777" not in finished.said
    write_table(file, table)
    refused(add("clinic", "--key", "patient"), 1, "'patient' is not in the table", "id, texture")
    refused(add("ada"), 1, "MPC node only", "data owner")
    refused(
        node(hospitals, "clinic", "dataset", "remove", "nothing"), 1, "no dataset 'nothing'", "dataset list"
    )


def coordinator(hospitals: Hospitals, *command: str, **environment: str) -> Finished:
    return hospitals.command("soter-coordinator", *command, **environment)


def test_a_coordinator_that_cannot_serve(hospitals: Hospitals, tmp_path: Path) -> None:
    running, empty = hospitals.devnet.folder / "coordinator", tmp_path / "empty"
    serve = ("serve", "--data-dir")
    refused(
        coordinator(hospitals, *serve, str(empty)), 1, "no coordinator's folder", "soter-coordinator init"
    )
    refused(coordinator(hospitals, *serve, str(running)), 1, "another soter-coordinator", "PostgreSQL")
    refused(coordinator(hospitals, *serve, str(running), "--only", "kitchen"), 2, "kitchen", "reconciler")
    shutil.copytree(running, empty, ignore=shutil.ignore_patterns("coordinator.sqlite*"))
    refused(coordinator(hospitals, *serve, str(empty)), 1, "database is empty", "soter-coordinator migrate")
    assert coordinator(hospitals, "migrate", "--data-dir", str(empty)).status == 0
    refused(coordinator(hospitals, *serve, str(empty)), 1, "cannot listen on 127.0.0.1:", "taken")
    away = {"SOTER_CHAIN_RPC": f"http://{NOBODY_LISTENS}"}
    refused(coordinator(hospitals, *serve, str(empty), **away), 3, NOBODY_LISTENS, "Check that it runs")
    (empty / "coordinator.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    refused(coordinator(hospitals, *serve, str(empty)), 1, "database cannot be used", "backup")
    assert hospitals.request("GET", "network", None).status_code == 200


def test_a_coordinator_that_cannot_be_made(hospitals: Hospitals, tmp_path: Path) -> None:
    def made(folder: Path, **changes: str) -> Finished:
        options = {
            "data-dir": str(folder), "chain-rpc": hospitals.devnet.rpc_url,
            "deployment": str(hospitals.devnet.deployment_file),
            "key-file": str(hospitals.devnet.folder / "coordinator.key"),
        }  # fmt: skip
        return coordinator(
            hospitals, "init", *(f"--{name}={one}" for name, one in {**options, **changes}.items())
        )

    new = tmp_path / "new"
    refused(made(hospitals.devnet.folder / "coordinator"), 1, "is not empty", "choose a new folder")
    refused(made(new, **{"chain-rpc": f"http://{NOBODY_LISTENS}"}), 3, NOBODY_LISTENS, "Check that it runs")
    refused(made(new, **{"key-file": "/nowhere.key"}), 1, "/nowhere.key", "cannot be read")
    refused(made(new, host="203.0.113.7"), 1, "203.0.113.7", "not an address of this machine")
    assert not new.exists()


def test_another_python_is_told_what_to_install() -> None:
    """The interpreter's version is all that the check looks at, so the one that runs this says another."""
    script = "import runpy, sys; sys.version_info = (3, 13, 1); runpy.run_path('scripts/check_python.py')"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    refused(
        Finished(finished.returncode, finished.stderr), 1, "Python 3.11", "this is Python 3.13", "install"
    )
