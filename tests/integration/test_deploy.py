"""scripts/deploy.py against a real chain: what it writes, what the contracts then say, and what it refuses."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from fixtures.chain import DEVELOPER_KEYS, Anvil
from web3 import HTTPProvider, Web3

from soterone.chain.artifacts import load_artifact
from soterone.chain.deploying import deploy, is_live
from soterone.chain.deployment import Deployment, DeploymentError, Parameters
from soterone.domain.panels import Terms

SCRIPT = Path(__file__).parents[2] / "scripts" / "deploy.py"
COORDINATOR = Account.from_key(DEVELOPER_KEYS[1]).address
DEPLOYER = Account.from_key(DEVELOPER_KEYS[0]).address


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    process = Anvil(tmp_path_factory.mktemp("anvil"), "--chain-id", "4711")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "deployer.key"
    path.write_text(DEVELOPER_KEYS[0] + "\n")
    return path


def run(url: str, key_file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(SCRIPT),
        "--rpc",
        url,
        "--key-file",
        str(key_file),
        "--folder",
        str(folder),
    ]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)


def contract(client: Web3, deployment: Deployment, name: str) -> Any:
    address = Web3.to_checksum_address(deployment.address_of(name))
    return client.eth.contract(address=address, abi=load_artifact(name).abi)


def has_role(instance: Any, role: str, account: str) -> bool:
    return bool(instance.functions.hasRole(instance.functions[role]().call(), account).call())


def test_deploys_grants_and_records(chain: Anvil, key_file: Path, tmp_path: Path) -> None:
    options = ("--epoch-seconds", "5", "--feedback-window-seconds", "60", "--coordinator", COORDINATOR)
    result = run(chain.url, key_file, tmp_path, *options)
    assert result.returncode == 0, result.stderr
    assert "QueryLedger stands at 0x" in result.stdout

    deployment = Deployment.load(tmp_path / "4711.json")
    client = Web3(HTTPProvider(chain.url))
    assert deployment.chain_id == 4711
    views = {"Erc8004Identity", "Erc8004Reputation"}
    names = {"NodeRegistry", "QueryLedger", "ReputationLedger", "DetectorQuorum", "Timelock"}
    assert set(deployment.contracts) == names | views
    assert deployment.start_block == deployment.contracts["NodeRegistry"].deployed_block
    for one in deployment.contracts.values():
        code = client.eth.get_code(Web3.to_checksum_address(one.address))
        assert one.code_hash == Web3.to_hex(Web3.keccak(code))
    registry, queries, reputation = (
        contract(client, deployment, name) for name in ("NodeRegistry", "QueryLedger", "ReputationLedger")
    )
    identity, scores = (contract(client, deployment, name) for name in sorted(views))
    assert identity.functions.REGISTRY().call() == registry.address
    assert scores.functions.getIdentityRegistry().call() == identity.address
    assert scores.functions.LEDGER().call() == reputation.address
    assert queries.functions.REGISTRY().call() == registry.address
    assert reputation.functions.EPOCH_SECONDS().call() == 5
    assert reputation.functions.FEEDBACK_WINDOW_SECONDS().call() == 60
    assert has_role(queries, "COORDINATOR_ROLE", COORDINATOR)
    assert not has_role(queries, "COORDINATOR_ROLE", DEPLOYER)
    assert has_role(reputation, "COORDINATOR_ROLE", COORDINATOR)
    assert has_role(registry, "SUSPENDER_ROLE", reputation.address)
    assert not has_role(registry, "UNPAUSER_ROLE", DEPLOYER)


def test_the_timelock_administers_and_the_quorum_judges(chain: Anvil) -> None:
    deployment = deploy(chain.url, DEVELOPER_KEYS[0], Parameters(governor=COORDINATOR))
    client, delay = Web3(HTTPProvider(chain.url)), Parameters().admin_delay_seconds
    timelock, quorum = (contract(client, deployment, name) for name in ("Timelock", "DetectorQuorum"))
    for name in ("NodeRegistry", "QueryLedger", "ReputationLedger"):
        administered = contract(client, deployment, name)
        assert administered.functions.defaultAdmin().call() == timelock.address
        assert administered.functions.pendingDefaultAdminDelay().call()[0] == delay
        assert not administered.functions.hasRole(bytes(32), DEPLOYER).call()
    assert timelock.functions.getMinDelay().call() == quorum.functions.MIN_DELAY_SECONDS().call() == delay
    for role in ("PROPOSER_ROLE", "CANCELLER_ROLE"):
        assert has_role(timelock, role, COORDINATOR)
        assert not has_role(timelock, role, DEPLOYER)
    assert not timelock.functions.hasRole(bytes(32), DEPLOYER).call()
    assert has_role(contract(client, deployment, "NodeRegistry"), "SUSPENDER_ROLE", quorum.address)
    assert has_role(contract(client, deployment, "ReputationLedger"), "PENALTY_ROLE", quorum.address)
    assert not has_role(contract(client, deployment, "ReputationLedger"), "PENALTY_ROLE", DEPLOYER)
    terms, detectors, _ = quorum.functions.roster().call()
    assert (Terms(*terms), detectors) == (Parameters().terms, [])


def test_refuses_to_replace_what_is_live_unless_told(chain: Anvil, key_file: Path, tmp_path: Path) -> None:
    assert run(chain.url, key_file, tmp_path).returncode == 0
    first = Deployment.load(tmp_path / "4711.json")
    again = run(chain.url, key_file, tmp_path)
    assert again.returncode == 1
    assert "--replace" in again.stderr
    assert Deployment.load(tmp_path / "4711.json") == first
    assert run(chain.url, key_file, tmp_path, "--replace").returncode == 0
    assert Deployment.load(tmp_path / "4711.json").contracts != first.contracts


def test_a_keystore_needs_its_password(chain: Anvil, tmp_path: Path) -> None:
    keystore, password = tmp_path / "keystore.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(DEVELOPER_KEYS[2], "right", iterations=2)))
    password.write_text("wrong")
    refused = run(chain.url, keystore, tmp_path, "--password-file", str(password))
    assert refused.returncode == 1
    assert "check file and password" in refused.stderr
    password.write_text("right\n")
    assert run(chain.url, keystore, tmp_path, "--password-file", str(password)).returncode == 0


def test_refuses_what_cannot_work(chain: Anvil, key_file: Path, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{unused.getsockname()[1]}"
        unreachable = run(silent, key_file, tmp_path)
    assert unreachable.returncode == 1
    assert "no chain answers" in unreachable.stderr

    missing = run(chain.url, tmp_path / "nowhere", tmp_path)
    assert missing.returncode == 1
    assert "cannot be read" in missing.stderr

    garbage = tmp_path / "garbage"
    garbage.write_text("not a key")
    assert "32 bytes of hex" in run(chain.url, garbage, tmp_path).stderr

    poor = tmp_path / "poor"
    poor.write_text("0x" + "77" * 32)
    assert "has no coins" in run(chain.url, poor, tmp_path).stderr
    assert run(chain.url, key_file, tmp_path, "--epoch-seconds", "soon").returncode == 2
    assert not (tmp_path / "4711.json").exists()


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (Parameters(epoch_seconds=0), "epoch_seconds must be at least 1 second"),
        (Parameters(admin_delay_seconds=0), "admin_delay_seconds must be at least 1 second"),
        (Parameters(threshold=3), "more than half"),
        (Parameters(panel_size=17, threshold=9), "at most 16"),
        (Parameters(suspension_epochs=26), "suspension must last"),
        (Parameters(severities=0x4), "four bits"),
        (Parameters(coordinator="0x1234"), "is not a checksummed address"),
        (Parameters(pauser=DEPLOYER, unpauser=DEPLOYER), "must be two accounts"),
        (Parameters(unpauser=DEPLOYER), "must be two accounts"),
    ],
    ids=["epoch", "delay", "minority", "panel", "suspension", "severities", "address", "both", "deployer"],
)
def test_bad_parameters_deploy_nothing(chain: Anvil, parameters: Parameters, sentence: str) -> None:
    before = chain.rpc("eth_blockNumber")
    with pytest.raises(DeploymentError, match=sentence):
        deploy(chain.url, DEVELOPER_KEYS[0], parameters)
    assert chain.rpc("eth_blockNumber") == before


def test_file_round_trip_and_liveness(chain: Anvil, tmp_path: Path) -> None:
    deployment = deploy(chain.url, DEVELOPER_KEYS[0])
    path = tmp_path / "deep" / "4711.json"
    deployment.save(path)
    assert Deployment.load(path) == deployment
    assert is_live(Web3(HTTPProvider(chain.url)), deployment)
    with pytest.raises(DeploymentError, match=r"no Treasury"):
        deployment.address_of("Treasury")
    path.write_text('{"chain_id": 4711}')
    with pytest.raises(DeploymentError, match="not a deployment file"):
        Deployment.load(path)
    with pytest.raises(DeploymentError, match="does not exist"):
        Deployment.load(tmp_path / "none.json")
