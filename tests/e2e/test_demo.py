"""The demo's figures against what web3 reads from the chain by itself, without SoterOne's own reader."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import ROOT, Demo
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract
from web3.types import EventData

from soterone.chain.artifacts import load_artifact
from soterone.domain.reputation_book import ReputationBook


@pytest.fixture(scope="module")
def web3(demo: Demo) -> Web3:
    return Web3(Web3.HTTPProvider(demo.document["chain"]["rpc"]))


def contract(web3: Web3, demo: Demo, name: str) -> Contract:
    return web3.eth.contract(demo.document["chain"]["contracts"][name], abi=load_artifact(name).abi)


def logs_of(contract: Contract, event: str) -> list[EventData]:
    return list(contract.events[event]().get_logs(from_block=0))


def test_the_query_was_completed_and_cleaned_up(demo: Demo, web3: Web3) -> None:
    query = demo.document["query"]
    status, generation, _ = contract(web3, demo, "QueryLedger").functions.statusOf(query["id"]).call()
    assert (query["status"], query["generation"]) == ("completed", 0)
    assert (status, generation) == (4, 0)


def test_every_event_stands_in_the_block_and_transaction_told(demo: Demo, web3: Web3) -> None:
    told = demo.document["events"]
    names = [event["name"] for event in told]
    for name in (
        "QuerySubmitted",
        "QueryDispatched",
        "QueryCompleted",
        "QueryCleanup",
        "QuerySettled",
        "FeedbackGiven",
    ):
        assert names.count(name) == 1, name
    for event in told:
        receipt = web3.eth.get_transaction_receipt(event["tx"])
        assert receipt["blockNumber"] == event["block"]
        holder = contract(
            web3, demo, "ReputationLedger" if event["name"] not in _LEDGER_EVENTS else "QueryLedger"
        )
        found = logs_of(holder, event["name"])
        assert event["tx"] in {Web3.to_hex(one["transactionHash"]) for one in found}
    times = [event["at_seconds"] for event in told]
    assert times == sorted(times)
    assert 0 < times[0] < 5


_LEDGER_EVENTS = (
    "QuerySubmitted",
    "QueryDispatched",
    "ReplacementLimit",
    "QueryCompleted",
    "QueryFailed",
    "QueryCleanup",
)


def test_the_result_hash_is_that_of_the_sealed_shares(demo: Demo, web3: Web3) -> None:
    (completed,) = logs_of(contract(web3, demo, "QueryLedger"), "QueryCompleted")
    stored = [path for path in (demo.folder / "coordinator").rglob("*") if path.is_file()]
    by_hash = {keccak(path.read_bytes()) for path in stored if path.stat().st_size < 1 << 20}
    result = soter(demo, "query", "show", demo.document["query"]["id"])
    assert result["result_hash"] == Web3.to_hex(completed["args"]["resultHash"])
    shares = sealed_share_hashes(demo)
    assert keccak(b"".join(shares)) == completed["args"]["resultHash"]
    assert set(shares) <= by_hash


def sealed_share_hashes(demo: Demo) -> list[bytes]:
    from soterone.client.customer import Customer
    from soterone.crypto.accounts import open_keystore
    from soterone.rest.queries import ResultView

    network = json.loads((demo.folder / "deployment.json").read_text())
    assert network["chain_id"] == 31337
    wallet = open_keystore(demo.folder / "customer" / "keystore.json", "demo")
    with Customer.connect(
        rest_url(demo),
        wallet,
        demo.document["chain"]["rpc"],
        demo.folder / "coordinator" / "ca.pem",
        demo.folder / "customer",
    ) as customer:
        result = customer.transport.get(f"queries/{demo.document['query']['id']}/result", ResultView)
    shares = sorted(result.shares, key=lambda share: share.rank)
    assert [share.rank for share in shares] == [0, 1, 2]
    return [bytes.fromhex(share.share_hash[2:]) for share in shares]


def rest_url(demo: Demo) -> str:
    first = (demo.folder / "logs" / "coordinator.out").read_text().splitlines()[0]
    return str(json.loads(first)["rest"])


def test_the_joint_model_equals_the_clear_one_and_beats_each_owner(demo: Demo) -> None:
    metrics = demo.document["metrics"]
    assert metrics["joint_auc"] == pytest.approx(metrics["clear_auc"], abs=0.001)
    assert len(metrics["owner_auc"]) == 2
    assert all(0.5 < auc <= 1 for auc in metrics["owner_auc"].values())
    assert metrics["joint_auc"] > 0.97


def test_scores_are_what_the_formula_gives(demo: Demo, web3: Web3) -> None:
    ledger = contract(web3, demo, "ReputationLedger")
    book = ReputationBook(ledger.functions.EPOCH_SECONDS().call(), ledger.functions.WEEK_SECONDS().call())
    (settled,), (rated,) = logs_of(ledger, "QuerySettled"), logs_of(ledger, "FeedbackGiven")
    times = [web3.eth.get_block(log["blockNumber"])["timestamp"] for log in (settled, rated)]
    query = Web3.to_hex(settled["args"]["queryId"])
    book.query_settled(query, settled["args"]["nodes"], settled["args"]["observations"], times[0])
    book.feedback_given(
        query, rated["args"]["customer"], rated["args"]["nodes"], rated["args"]["ratings"], times[1]
    )
    moved = {node: one for node, one in demo.document["reputation"].items() if one["after"] != one["before"]}
    assert set(moved) == set(settled["args"]["nodes"])
    for node, score in moved.items():
        assert round(score["after"] * 1e9) in {book.score_of(node, times[1] + later) for later in range(60)}
        assert score["after"] > score["before"]


def test_the_audit_agrees_and_nothing_is_left(demo: Demo) -> None:
    audit = demo.document["audit"]
    assert (audit["ok"], audit["failed"]) == (True, [])
    assert audit["checks"] >= 10
    assert demo.document["leftovers"] == []


def test_it_is_as_fast_as_promised(demo: Demo) -> None:
    """Floors, not benches: wide of what is measured, so that only a real regression trips them."""
    phases = demo.document["phases"]
    assert set(phases) == {"reserve", "dispatch", "align", "share", "train", "deliver", "open", "cleanup"}
    completed = next(
        event["at_seconds"] for event in demo.document["events"] if event["name"] == "QueryCompleted"
    )
    assert completed < 60
    assert phases["dispatch"] < 5


def soter(demo: Demo, *command: str, status: int = 0) -> Any:
    environment = {
        **os.environ,
        "SOTER_HOME": str(demo.folder / "customer"),
        "SOTER_PASSWORD_FILE": str(demo.folder / "customer" / "password"),
    }
    binary = Path(sys.executable).parent / "soter"
    if not (demo.folder / "customer" / "network.json").exists() and command[0] != "login":
        soter(
            demo, "login", "--coordinator", rest_url(demo), "--rpc", demo.document["chain"]["rpc"],
            "--ca-file", str(demo.folder / "coordinator" / "ca.pem"),
            "--keystore", str(demo.folder / "customer" / "keystore.json"),
        )  # fmt: skip
    finished = subprocess.run(
        [binary, *command, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert finished.returncode == status, finished.stderr
    return json.loads(finished.stdout) if finished.stdout else finished.stderr


def test_the_command_shows_the_same(demo: Demo, web3: Web3) -> None:
    query = demo.document["query"]["id"]
    assert [one["id"] for one in soter(demo, "query", "list")] == [query]
    model = soter(demo, "query", "result", query)
    assert model["metrics"]["auc"] == pytest.approx(demo.document["metrics"]["joint_auc"])
    assert len(soter(demo, "datasets")) == 2
    assert len(soter(demo, "nodes")) == 6
    moved = (one for one, score in demo.document["reputation"].items() if score["after"] > score["before"])
    node = next(moved)  # whoever stood by without taking part has no history yet
    standing = soter(demo, "reputation", node)
    score = contract(web3, demo, "ReputationLedger").functions.scoreOf(node)
    assert standing["score"] == standing["score_on_chain"] == score.call(block_identifier=standing["block"])
    history = standing["history"]
    assert [step["cause"] for step in history][-2:] == ["settled", "registered"]
    assert soter(demo, "reputation", node, "--chain")["history"] == history


def test_the_audit_by_command_agrees_with_the_coordinator_of_a_signed_in_customer(demo: Demo) -> None:
    report = soter(
        demo, "audit", "--rpc", demo.document["chain"]["rpc"],
        "--deployment", str(demo.folder / "deployment.json"), "--coordinator", rest_url(demo),
    )  # fmt: skip
    assert report["ok"] is True
    (told,) = [one for one in report["checks"] if one["name"] == "the coordinator tells what the chain says"]
    nodes, queries = len(soter(demo, "nodes")), len(soter(demo, "query", "list"))
    assert (nodes, queries) == (6, 1)
    assert told["examined"] == 1 + 3 * nodes + queries


@pytest.mark.parametrize(
    ("command", "status", "complaint"),
    [
        (("query", "show", "0x" + "00" * 32), 1, "refused"),
        (("query", "show", "nonsense"), 1, "is not a query id"),
        (("query", "submit", "/nowhere.yaml"), 1, "cannot be read"),
        (("query", "frobnicate"), 2, ""),
        (("audit", "--rpc", "http://127.0.0.1:9", "--deployment", "{deployment}"), 3, "unreachable"),
        (("audit", "--rpc", "http://127.0.0.1:9", "--deployment", "/nowhere.json"), 1, "does not exist"),
    ],
)
def test_the_command_refuses_in_words_and_status(
    demo: Demo, command: tuple[str, ...], status: int, complaint: str
) -> None:
    filled = [part.format(deployment=demo.folder / "deployment.json") for part in command]
    assert complaint in soter(demo, *filled, status=status)


def test_a_folder_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.demo", "--folder", str(tmp_path)]
    wide = {**os.environ, "COLUMNS": "400"}
    finished = subprocess.run(
        command, cwd=ROOT, env=wide, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 2
    assert "exists already" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    command = [sys.executable, "-m", "scripts.demo", "--folder", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = folder / "logs" / "commands.log"
    deadline = time.monotonic() + 90
    while not (log.exists() and "soter-node register" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    assert len(children) >= 3
    assert [child for child in children if child.is_running()] == []
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or [])
    ]


def test_ctrl_c_ends_everything_at_once(demo: Demo) -> None:
    """Runs last: it takes the network down."""
    children = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(children) >= 8
    status, seconds = demo.stop()
    assert (status, [child for child in children if child.is_running()]) == (0, [])
    assert seconds < 20
