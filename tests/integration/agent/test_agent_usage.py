"""`soter-node` used wrongly, or with nobody there: one clear sentence, the right exit status, nothing left behind."""

import json
import socket
from pathlib import Path

import pytest
from fixtures.agents import AgentFolder, Done

NOBODY = ("--coordinator", "https://127.0.0.1:9", "--rpc", "http://127.0.0.1:9")


def init(folder: AgentFolder, *arguments: str) -> Done:
    return folder.invoke(*folder.init_arguments(*NOBODY, *arguments, name="clinic", role="owner"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("run",),
        ("register",),
        ("unregister",),
        ("dataset", "list"),
        ("dataset", "remove", "x"),
        ("approve", "x"),
        ("deny", "x"),
    ],
)
def test_a_folder_without_an_agent(agent_folder: AgentFolder, arguments: tuple[str, ...]) -> None:
    plain, as_json = agent_folder.invoke(*arguments), agent_folder.invoke(*arguments, "--json")
    assert plain.status == as_json.status == 1
    assert "soter-node init" in plain.stderr
    assert "soter-node init" in as_json.document["error"]
    assert "Traceback" not in plain.stderr + as_json.stderr
    assert not agent_folder.path.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--role", "boss"), 2, "owner, mpc, both or detector"),
        (("--listen", "nowhere"), 2, "HOST:PORT"),
        (("--listen", "203.0.113.7:0"), 1, "cannot listen"),
        (("--listen", "0.0.0.0:0"), 2, "--advertise"),
        (("--operator", "me"), 2, "not an account"),
        (("--name", "no/slashes"), 2, "name"),
        (("--coordinator", "http://127.0.0.1:9"), 1, "https://"),
        (("--ca-file", "/absent.pem"), 1, "cannot be read"),
        ((), 3, "does not answer"),
    ],
)
def test_init_refuses_and_leaves_nothing(
    agent_folder: AgentFolder, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    done = init(agent_folder, *arguments)
    assert (done.status, sentence in done.document["error"]) == (status, True), done
    assert not agent_folder.path.exists()


def test_init_refuses_a_taken_port(agent_folder: AgentFolder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = init(agent_folder, "--listen", address)
    assert done.status == 1
    assert "is taken" in done.document["error"]


def test_init_refuses_a_password_that_is_not_there(agent_folder: AgentFolder, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for file, sentence in ((tmp_path / "absent", "cannot be read"), (empty, "is empty")):
        done = init(agent_folder, "--password-file", str(file))
        assert done.status == 1
        assert sentence in done.document["error"]


@pytest.mark.parametrize(
    "arguments", [("init",), ("--nonsense",), ("dataset", "add"), ("approve",), ("frobnicate",)]
)
def test_wrong_usage_is_two(agent_folder: AgentFolder, arguments: tuple[str, ...]) -> None:
    assert agent_folder.invoke(*arguments).status == 2


def test_the_installed_command_says_so_too(agent_folder: AgentFolder) -> None:
    done = agent_folder.command("status")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: there is no agent in")


def test_a_broken_configuration_says_where(agent_folder: AgentFolder) -> None:
    agent_folder.path.mkdir()
    config = agent_folder.path / "config.yaml"
    for text, sentence in (
        ("name: [", "cannot be read"),
        ("name: x", "role"),
        ("typo: 1", "wrong at"),
        ("7", "wrong"),
    ):
        config.write_text(text)
        done = agent_folder.invoke("status", "--json")
        assert done.status == 1
        assert sentence in json.loads(done.stdout)["error"]
