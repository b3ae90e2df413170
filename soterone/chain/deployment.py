"""Puts the contracts on a chain and remembers where they stand.

Owns `deployments/<chain id>.json`; it never upgrades: the contracts are immutable, so a new version is a new
deployment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.types import TxReceipt

from soterone.chain.artifacts import load_artifact

RECEIPT_TIMEOUT_SECONDS: Final = 180
DAY_SECONDS: Final = 86_400


class DeploymentError(Exception):
    """Contracts could not be deployed or a deployment file not be used; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the constructors and role grants take. A devnet shortens the times to run days in seconds.

    Addresses are checksummed; None means the deployer, and for `unpauser` nobody: the administrator grants it
    later, as one account never holds both pausing roles.
    """

    epoch_seconds: int = DAY_SECONDS
    week_seconds: int = 7 * DAY_SECONDS
    feedback_window_seconds: int = 14 * DAY_SECONDS
    silent_settle_seconds: int = DAY_SECONDS
    admin_delay_seconds: int = 2 * DAY_SECONDS
    coordinator: str | None = None
    pauser: str | None = None
    unpauser: str | None = None


@dataclass(frozen=True, slots=True)
class DeployedContract:
    """Where a contract stands; `code_hash` is the Keccak-256 of its runtime code, hex with 0x."""

    address: str
    code_hash: str
    deployed_block: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """One set of contracts on one chain; `start_block` is the first block that can hold an event of theirs."""

    chain_id: int
    start_block: int
    parameters: Parameters
    contracts: Mapping[str, DeployedContract]

    def address_of(self, contract: str) -> str:
        """Checksummed address of a contract by its Solidity name; DeploymentError when there is none."""
        if contract not in self.contracts:
            raise DeploymentError(f"the deployment of chain {self.chain_id} has no {contract}: deploy again")
        return self.contracts[contract].address

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Reads what `save` wrote; DeploymentError when the file is missing or is not a deployment."""
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except FileNotFoundError:
            raise DeploymentError(
                f"{path} does not exist: deploy the contracts with scripts/deploy.py"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise DeploymentError(f"{path} is not a deployment file ({problem}): deploy again") from None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Deployment:
        """Parses the JSON object of a deployment file; unknown parameters are refused."""
        contracts = {name: DeployedContract(**one) for name, one in value["contracts"].items()}
        return cls(
            int(value["chain_id"]), int(value["start_block"]), Parameters(**value["parameters"]), contracts
        )


def connect(rpc_url: str) -> Web3:
    """A synchronous client of the chain behind `rpc_url`; DeploymentError when nothing answers there."""
    client = Web3(HTTPProvider(rpc_url, request_kwargs={"timeout": 30}))
    if not client.is_connected():
        raise DeploymentError(
            f"no chain answers at {rpc_url}: start one (anvil) or check the address and the network"
        )
    return client


def is_live(client: Web3, deployment: Deployment) -> bool:
    """Whether every contract of the deployment stands on the connected chain with the recorded code."""
    if client.eth.chain_id != deployment.chain_id:
        return False
    return all(_code_hash(client, one.address) == one.code_hash for one in deployment.contracts.values())


def deploy(
    rpc_url: str,
    private_key: str,
    parameters: Parameters | None = None,
    announce: Callable[[str], None] = lambda sentence: None,
) -> Deployment:
    """Deploys NodeRegistry, QueryLedger and ReputationLedger and grants their roles by mined transactions.

    `private_key` is hex; its account pays and becomes the (delayed) administrator. `announce` gets one sentence
    a step. Raises DeploymentError when the chain is unreachable, the account cannot pay or a transaction fails.
    """
    chosen = parameters or Parameters()
    account = _account(private_key)
    _check(chosen, account.address)
    deployer = _Deployer(connect(rpc_url), account, announce)
    try:
        return deployer.run(chosen)
    except Web3Exception as problem:
        raise DeploymentError(
            f"the chain refused a transaction: {problem}; nothing was recorded, deploy again"
        ) from problem


class _Deployer:
    def __init__(self, client: Web3, account: LocalAccount, announce: Callable[[str], None]) -> None:
        self._client = client
        self._account = account
        self._announce = announce
        self._deployed: dict[str, DeployedContract] = {}
        client.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)

    def run(self, parameters: Parameters) -> Deployment:
        self._check_funds()
        admin = (parameters.admin_delay_seconds, self._account.address)
        registry = self._create("NodeRegistry", *admin)
        queries = self._create("QueryLedger", registry.address, *admin)
        reputation = self._create(
            "ReputationLedger",
            registry.address,
            queries.address,
            (
                parameters.epoch_seconds,
                parameters.feedback_window_seconds,
                parameters.silent_settle_seconds,
                parameters.week_seconds,
            ),
            *admin,
        )
        identity = self._create("Erc8004Identity", registry.address)
        self._create("Erc8004Reputation", identity.address, reputation.address)
        self._grant_all(parameters, registry, queries, reputation)
        self._introduce(registry, reputation)
        start_block = min(one.deployed_block for one in self._deployed.values())
        return Deployment(self._client.eth.chain_id, start_block, parameters, self._deployed)

    def _check_funds(self) -> None:
        if self._client.eth.get_balance(self._account.address) == 0:
            raise DeploymentError(
                f"account {self._account.address} has no coins on chain {self._client.eth.chain_id}: fund it"
            )

    def _create(self, name: str, *arguments: object) -> Contract:
        artifact = load_artifact(name)
        factory: type[Contract] = self._client.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        creation = factory.constructor(*arguments).transact({"from": self._account.address})
        receipt = self._mined(creation, f"deploying {name}")
        address = receipt["contractAddress"]
        if address is None:
            raise DeploymentError(f"the receipt of {name} names no contract: use another RPC endpoint")
        code_hash = _code_hash(self._client, address)
        self._deployed[name] = DeployedContract(address, code_hash, receipt["blockNumber"])
        self._announce(f"{name} stands at {address} (block {receipt['blockNumber']})")
        return factory(address)

    def _grant_all(
        self, parameters: Parameters, registry: Contract, queries: Contract, reputation: Contract
    ) -> None:
        coordinator = parameters.coordinator or self._account.address
        self._grant(registry, "SUSPENDER_ROLE", reputation.address)
        self._grant(queries, "COORDINATOR_ROLE", coordinator)
        self._grant(reputation, "COORDINATOR_ROLE", coordinator)
        for contract in (registry, queries, reputation):
            self._grant(contract, "PAUSER_ROLE", parameters.pauser or self._account.address)
            if parameters.unpauser:
                self._grant(contract, "UNPAUSER_ROLE", parameters.unpauser)

    def _introduce(self, registry: Contract, reputation: Contract) -> None:
        call = registry.functions.setReputationLedger(reputation.address)
        self._mined(call.transact({"from": self._account.address}), "introducing ReputationLedger")
        self._announce(f"NodeRegistry renews records at {reputation.address}")

    def _grant(self, contract: Contract, role: str, account: str) -> None:
        role_id = contract.functions[role]().call()
        grant = contract.functions.grantRole(role_id, account)
        self._mined(grant.transact({"from": self._account.address}), f"granting {role}")
        self._announce(f"{account} has {role} at {contract.address}")

    def _mined(self, transaction_hash: bytes, what: str) -> TxReceipt:
        receipt = self._client.eth.wait_for_transaction_receipt(
            transaction_hash,  # type: ignore[arg-type]
            timeout=RECEIPT_TIMEOUT_SECONDS,
            poll_latency=0.05,
        )
        if receipt["status"] != 1:
            raise DeploymentError(f"{what} failed in transaction 0x{transaction_hash.hex()}")
        return receipt


def _account(private_key: str) -> LocalAccount:
    try:
        account: LocalAccount = Account.from_key(private_key)
    except Exception:
        raise DeploymentError("the private key is not 32 bytes of hex: check the key file") from None
    return account


def _check(parameters: Parameters, deployer: str) -> None:
    if parameters.unpauser == (parameters.pauser or deployer):
        raise DeploymentError("pauser and unpauser must be two accounts: name another one")
    for one in fields(parameters):
        value = getattr(parameters, one.name)
        if one.name == "admin_delay_seconds":
            if value < 0:
                raise DeploymentError("admin_delay_seconds must not be negative")
        elif one.name.endswith("_seconds"):
            if value <= 0:
                raise DeploymentError(f"{one.name} must be at least 1 second")
        elif value is not None and not Web3.is_checksum_address(value):
            raise DeploymentError(f"{one.name} {value} is not a checksummed address")


def _code_hash(client: Web3, address: Any) -> str:
    return "0x" + Web3.keccak(client.eth.get_code(address)).hex().removeprefix("0x")
