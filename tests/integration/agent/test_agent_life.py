"""An agent's life through its real commands, against a real coordinator and chain: join, run, lend, leave."""

import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fixtures.agents import AgentFolder
from fixtures.chain import Anvil
from fixtures.coordinator import CoordinatorProcess

from node_agent.store import Store
from soterone.crypto.accounts import Signer, create_keystore
from soterone.domain.ids import query_id
from soterone.domain.spec import QuerySpec

TABLE = "id,surname,tumour_radius,malignant\n" + "".join(
    f"{n},Plantedsurname{n},{n * 7.7707:.4f},{n % 2}\n" for n in range(1, 61)
)


@pytest.fixture
def agent(agent_folder: AgentFolder, coordinator_process: CoordinatorProcess) -> AgentFolder:
    """A data owner that was made, and has not registered yet."""
    arguments = agent_folder.init_arguments(*coordinator_process.init_arguments, name="clinic", role="owner")
    done = agent_folder.invoke(*arguments)
    assert done.status == 0, done
    return agent_folder


@pytest.fixture
def registered(agent: AgentFolder) -> AgentFolder:
    """A data owner that has registered."""
    done = agent.invoke("register", "--json")
    assert done.status == 0, done
    return agent


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.csv"
    path.write_text(TABLE)
    return path


def test_init_makes_private_files_once(agent: AgentFolder, coordinator_process: CoordinatorProcess) -> None:
    files = {path.name: path for path in agent.path.iterdir()}
    assert agent.path.stat().st_mode & 0o777 == 0o700
    for secret in ("keystore.json", "tls-key.pem", "config.yaml", "policy.yaml"):
        assert files[secret].stat().st_mode & 0o777 == 0o600
    assert "correct horse" not in "".join(path.read_text() for path in files.values())
    before = files["keystore.json"].read_text()
    again = agent.invoke(*agent.init_arguments(*coordinator_process.init_arguments, name="x", role="mpc"))
    assert again.status == 1
    assert "already" in again.document["error"]
    assert files["keystore.json"].read_text() == before


def test_a_person_answers_orders_that_wait(agent: AgentFolder) -> None:
    spec = QuerySpec.model_validate(
        {
            "name": "risk",
            "algorithm": "vertical-logistic-regression",
            "datasets": [str(uuid.UUID(int=1)), str(uuid.UUID(int=2))],
            "label": {"dataset": str(uuid.UUID(int=1)), "column": "y"},
        }
    )
    customer = Signer.new().account
    store = Store.open(agent.path / "agent.sqlite3")
    asked = store.approvals.ask(customer, spec, query_id(bytes(32)))
    (waiting,) = agent.invoke("status", "--json").document["waiting_approvals"]
    assert (waiting["id"], waiting["customer"], waiting["query"]) == (asked.id, customer, "risk")
    assert waiting["spec"] == spec.model_dump(mode="json")
    assert asked.id in agent.invoke("status").stdout
    assert agent.invoke("approve", asked.id, "--json").document["state"] == "approved"
    assert agent.invoke("status", "--json").document["waiting_approvals"] == []
    assert agent.invoke("deny", asked.id, "--json").status == 0
    assert [one.state for one in store.approvals.all()] == ["denied"]
    nobody = agent.invoke("approve", "nothing", "--json")
    assert (nobody.status, "no order" in nobody.document["error"]) == (1, True)
    store.close()


@pytest.mark.parametrize(
    "name", ["profile.json", "network.json", "tls-key.pem", "keystore.json", "agent.sqlite3"]
)
def test_a_damaged_or_missing_file_is_named(agent: AgentFolder, name: str) -> None:
    file = agent.path / name
    for content in (b"damaged", None):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        done = agent.invoke("status" if name == "agent.sqlite3" else "register", "--json")
        if name == "agent.sqlite3" and content is None:
            assert done.status == 0, "a lost store is made anew from the chain"
        else:
            assert (done.status, name in done.document["error"]) == (1, True), done


def test_a_whole_life(registered: AgentFolder, table: Path) -> None:
    agent = registered
    again = agent.invoke("register", "--json")
    assert (again.status, again.document["incarnation"], again.document["transaction"]) == (0, 1, "")

    ready = agent.start()
    assert (ready["ready"], ready["online"]) == (True, True)
    assert agent.process is not None
    resident = psutil.Process(agent.process.pid).memory_info().rss
    assert resident <= 120 * 2**20, f"{resident / 2**20:.0f} MiB resident"
    second = agent.invoke("run", "--json")
    assert second.status == 1
    assert "another soter-node runs" in second.document["error"]

    added = agent.invoke("dataset", "add", str(table), "--name", "clinic rows", "--tag", "oncology", "--json")
    assert (added.status, added.document["published"]) == (0, True)
    assert [column["name"] for column in added.document["sent"]["columns"]] == [
        "id",
        "masked-2",
        "tumour_radius",
        "malignant",
    ]
    status = agent.invoke("status", "--json").document
    assert (status["running"], status["on_chain"], status["datasets"]) == (True, "active", 1)
    refused = agent.invoke("unregister", "--json")
    assert (refused.status, "is running" in refused.document["error"]) == (1, True)

    exit_status, seconds = agent.stop()
    assert exit_status == 0
    assert seconds < 10
    left = agent.invoke("unregister", "--json")
    assert (left.status, len(left.document["transaction"])) == (0, 66)
    gone = agent.invoke("run", "--json")
    assert (gone.status, "soter-node register" in gone.document["error"]) == (1, True)
    assert agent.invoke("status", "--json").document["on_chain"] == "gone"
    assert agent.invoke("dataset", "list", "--json").document["datasets"] == []

    anew = agent.invoke("register", "--json")
    assert (anew.status, anew.document["incarnation"]) == (0, 2)
    log = agent.log.read_text()
    for line in log.splitlines():
        json.loads(line)
    for secret in ("correct horse", "Plantedsurname", "surname", "7.7707", "PRIVATE KEY"):
        assert secret not in log


def test_datasets_are_shown_first_named_once_and_withdrawn(registered: AgentFolder, table: Path) -> None:
    add = ("dataset", "add", str(table), "--name", "clinic rows", "--json")
    shown = registered.invoke(*add, "--dry-run")
    assert (shown.status, shown.document["published"]) == (0, False)
    assert registered.invoke("dataset", "list", "--json").document["datasets"] == []
    added = registered.invoke(*add)
    assert shown.document["sent"]["commitment"] is None, "only what is published is bound to its rows"
    assert added.document["sent"]["commitment"]["root"].startswith("0x")
    of_the_rows = {"id": "", "commitment": None}
    assert added.document["sent"] | of_the_rows == shown.document["sent"] | of_the_rows
    assert "Plantedsurname" not in added.stdout
    twice = registered.invoke(*add)
    assert (twice.status, "published already" in twice.document["error"]) == (1, True)
    (listed,) = registered.invoke("dataset", "list", "--json").document["datasets"]
    assert listed["metadata"] == added.document["sent"]
    plain = registered.invoke(
        "dataset", "add", str(table), "--name", "two", "--dry-run", "--hide", "malignant"
    )
    assert "Nothing was sent" in plain.stdout
    assert "malignant" not in plain.stdout
    assert registered.invoke("dataset", "remove", "clinic rows", "--json").status == 0
    absent = registered.invoke("dataset", "remove", "clinic rows", "--json")
    assert (absent.status, "no dataset" in absent.document["error"]) == (1, True)
    assert registered.invoke(*add).status == 0, "the name is free again"


def test_what_the_policy_hides_is_not_published(registered: AgentFolder, table: Path) -> None:
    (registered.path / "policy.yaml").write_text("hidden_columns: [malignant]\n")
    added = registered.invoke("dataset", "add", str(table), "--name", "clinic rows", "--json")
    assert "malignant" not in added.stdout
    (registered.path / "policy.yaml").write_text("hidden_columns: 7\n")
    broken = registered.invoke("dataset", "add", str(table), "--name", "other", "--json")
    assert (broken.status, "policy" in broken.document["error"]) == (1, True)
    assert registered.invoke("run", "--json").document["error"].startswith("the policy")


def test_a_table_that_does_not_serve_is_refused_by_the_command(
    registered: AgentFolder, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id,x\n1,2\n1,3\n")
    done = registered.invoke("dataset", "add", str(bad), "--name", "bad", "--json")
    assert (done.status, "duplicate ids" in done.document["error"]) == (1, True)
    both = registered.invoke("dataset", "add", str(bad), "--sql", str(bad), "--name", "bad", "--json")
    assert (both.status, "either a file or --sql" in both.document["error"]) == (2, True)


def test_an_mpc_node_lends_no_tables(
    agent_folder: AgentFolder, coordinator_process: CoordinatorProcess, table: Path
) -> None:
    arguments = agent_folder.init_arguments(*coordinator_process.init_arguments, name="cloud", role="mpc")
    assert agent_folder.invoke(*arguments).status == 0
    done = agent_folder.invoke("dataset", "add", str(table), "--name", "x", "--json")
    assert (done.status, "data owner" in done.document["error"]) == (1, True)


def test_an_operator_signs_too(
    agent_folder: AgentFolder, coordinator_process: CoordinatorProcess, tmp_path: Path
) -> None:
    operator = create_keystore(tmp_path / "operator.json", "correct horse")
    arguments = agent_folder.init_arguments(*coordinator_process.init_arguments, name="cloud", role="mpc")
    assert agent_folder.invoke(*arguments, "--operator", operator.account).status == 0
    alone = agent_folder.invoke("register", "--json")
    assert (alone.status, "--operator-key-file" in alone.document["error"]) == (1, True)
    both = agent_folder.invoke("register", "--operator-key-file", str(tmp_path / "operator.json"), "--json")
    assert (both.status, both.document["operator"]) == (0, operator.account)


def test_a_taken_port_and_a_lost_certificate(registered: AgentFolder) -> None:
    host, port = registered.invoke("status", "--json").document["endpoint"].split(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        done = registered.command("run", "--json")
    assert (done.status, f"cannot listen on {host}:{port}" in done.document["error"]) == (1, True)
    (registered.path / "tls-certificate.pem").unlink()
    lost = registered.invoke("run", "--json")
    assert (lost.status, "soter-node register" in lost.document["error"]) == (1, True)
    assert registered.invoke("register", "--json").status == 0
    assert registered.start()["ready"]


@pytest.fixture
def bare_chain(tmp_path: Path) -> Iterator[Anvil]:
    anvil = Anvil(tmp_path, "--chain-id", "31337")
    anvil.start()
    yield anvil
    anvil.stop()


def test_init_trusts_neither_coordinator_nor_chain(
    agent_folder: AgentFolder, coordinator_process: CoordinatorProcess, bare_chain: Anvil, tmp_path: Path
) -> None:
    base = agent_folder.init_arguments(*coordinator_process.init_arguments, name="clinic", role="owner")
    deployment = json.loads(coordinator_process.deployment_file.read_text())
    deployment["contracts"]["QueryLedger"]["address"] = "0x" + "11" * 20
    other = tmp_path / "other.json"
    other.write_text(json.dumps(deployment))
    cases = (
        (("--deployment", str(other)), 1, "names other contracts"),
        (("--deployment", str(tmp_path / "absent.json")), 1, "does not exist"),
        (("--rpc", bare_chain.url), 1, "no code stands there"),
        (("--rpc", "http://127.0.0.1:9"), 3, "gives no answer"),
        (("--ca-file", str(Path(__file__))), 1, "certificate"),
    )
    for arguments, status, sentence in cases:
        done = agent_folder.invoke(*base, *arguments)
        assert (done.status, sentence in done.document["error"]) == (status, True), done
        assert not agent_folder.path.exists()
    good = agent_folder.invoke(*base, "--deployment", str(coordinator_process.deployment_file))
    assert good.status == 0


def logged(agent: AgentFolder, event: str) -> str:
    """Return the agent's log once it tells of an event."""
    deadline = time.monotonic() + 30
    while event not in agent.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    return agent.log.read_text()


def test_without_a_coordinator_the_agent_runs_on_and_comes_back(
    registered: AgentFolder, coordinator_process: CoordinatorProcess, table: Path
) -> None:
    coordinator_process.stop()
    add = ("dataset", "add", str(table), "--name", "clinic rows", "--json")
    try:
        assert registered.start()["online"] is False
        away = registered.invoke(*add)
        assert (away.status, "does not answer" in away.document["error"]) == (3, True)
        (kept,) = Store.open(registered.path / "agent.sqlite3").datasets.all()
        assert not kept.published
        logged(registered, "coordinator away")
    finally:
        coordinator_process.start()
    log = logged(registered, "coordinator back")
    events = [json.loads(line)["event"] for line in log.splitlines()]
    told = [event for event in events if event.startswith("coordinator")]
    assert told == ["coordinator away", "coordinator back"], "each once, whatever else is logged meanwhile"
    again = registered.invoke(*add)
    assert (again.status, again.document["dataset_id"]) == (0, kept.id), "the same try, not a second dataset"


def test_without_a_chain_commands_say_so(registered: AgentFolder) -> None:
    config = registered.path / "config.yaml"
    text = config.read_text()
    lines = [
        "chain_rpc: http://127.0.0.1:9" if line.startswith("chain_rpc:") else line
        for line in text.splitlines()
    ]
    config.write_text("\n".join(lines))
    for command in ("run", "register", "unregister", "status"):
        done = registered.invoke(command, "--json")
        assert done.status == 3, done
        assert "http://127.0.0.1:9" in done.document["error"]
