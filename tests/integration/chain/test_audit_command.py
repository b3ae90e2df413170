"""`soter audit` as a command: its options, its three kinds of report, its exit status."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from audits import small_history
from click.testing import Result
from fixtures.chain import Anvil
from typer.testing import CliRunner

from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment
from soterone.chain.records import Contracts
from soterone.cli.__main__ import app
from soterone.client.errors import ClientError
from soterone.crypto.accounts import Signer
from soterone.domain.ids import QueryId

Run = Callable[..., Result]


@pytest.fixture
def query(
    own_anvil: Anvil, own_deployment: Deployment, coordinator_signer: Signer, signers: list[Signer]
) -> QueryId:
    async def play() -> QueryId:
        async with await ChainClient.connect(own_anvil.url, Contracts.of(own_deployment)) as chain:
            return await small_history(chain, coordinator_signer, signers)

    return asyncio.run(play())


@pytest.fixture
def run(own_anvil: Anvil, own_deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SOTER_HOME", str(tmp_path / "home"))
    own_deployment.save(tmp_path / "deployments" / f"{own_deployment.chain_id}.json")
    monkeypatch.chdir(tmp_path)

    def run_audit(*options: str) -> Result:
        return CliRunner().invoke(app, ["audit", "--rpc", own_anvil.url, *options])

    return run_audit


def test_reports_as_text_as_json_and_as_a_page(run: Run, query: QueryId, tmp_path: Path) -> None:
    text = run("--all")
    assert text.exit_code == 0
    assert "everything agrees" in text.output
    assert "unanchored" in text.output
    page = tmp_path / "report.html"
    found = run("--query", query, "--html", str(page), "--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert document["ok"]
    assert document["scope"]["query"] == query
    assert [one["event"] for one in document["steps"]].count("QueryCompleted") == 1
    written = page.read_text()
    assert query in written
    assert "<svg" in written
    assert not any(word in written for word in ("<script", "http://", "https://", "@import", "src="))


def test_a_checkpoint_saves_reading_and_an_anchor_is_told(
    run: Run, own_anvil: Anvil, query: QueryId, tmp_path: Path
) -> None:
    path = str(tmp_path / "audit.checkpoint")
    first = json.loads(run("--checkpoint", path, "--second-rpc", own_anvil.url, "--json").stdout)
    assert first["anchored"]
    second = json.loads(run("--checkpoint", path, "--json").stdout)
    assert (second["new_events"], second["events"]) == (0, first["events"])
    assert second["anchor"]["kind"] == "checkpoint"
    refused = run(
        "--checkpoint", path, "--block-hash", own_anvil.rpc("eth_getBlockByNumber", "0x3", False)["hash"]
    )
    assert isinstance(refused.exception, ClientError)


def test_a_contradiction_ends_with_status_1_and_no_checkpoint(
    run: Run, own_anvil: Anvil, own_deployment: Deployment, query: QueryId, tmp_path: Path
) -> None:
    ledger = own_deployment.address_of("ReputationLedger")
    own_anvil.rpc("anvil_setStorageAt", ledger, "0x" + "0" * 64, f"0x{1:064x}")
    path = tmp_path / "audit.checkpoint"
    found = run("--checkpoint", str(path))
    assert found.exit_code == 1
    assert "✗" in found.output
    assert not path.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--query", "0x12"),
        ("--node", "me"),
        ("--query", "0x" + "1" * 64, "--all"),
        ("--block-hash", "latest"),
        ("--block-hash", "0x" + "1" * 64, "--coordinator", "https://127.0.0.1:9"),
    ],
    ids=["query", "node", "both", "hash", "hash and coordinator"],
)
def test_wrong_usage_has_status_2(run: Run, options: tuple[str, ...]) -> None:
    assert run(*options).exit_code == 2
