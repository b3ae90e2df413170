"""Puts the contracts on a chain, grants their roles and hands them to a timelock.

The contracts are immutable, so a new version is a new deployment; nothing here upgrades.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractLogicError, Web3Exception
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.types import TxParams, TxReceipt

from soterone.chain.artifacts import load_artifact
from soterone.chain.deployment import DeployedContract, Deployment, DeploymentError, Parameters

RECEIPT_TIMEOUT_SECONDS: Final = 180
POLL_SECONDS: Final = 0.05
ANYBODY: Final = "0x" + "00" * 20
"""Who carries out what the timelock was proposed: as an executor the zero address means everybody."""


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
    """Deploys the contracts, grants their roles and gives their administration to the timelock, by mined transactions.

    `private_key` is hex; its account pays, and may do nothing afterwards that `parameters` do not name it for.
    `announce` gets one sentence a step. Raises DeploymentError when the chain is unreachable, the account cannot
    pay or a transaction fails.
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
        admin = (0, self._account.address)
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
        self._govern(parameters, registry, queries, reputation)
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
        self._transact(call, "introducing ReputationLedger")
        self._announce(f"NodeRegistry renews records at {reputation.address}")

    def _govern(
        self, parameters: Parameters, registry: Contract, queries: Contract, reputation: Contract
    ) -> None:
        """Hand everything over to a timelock that waits for nothing until it is told to, which it is before the quorum
        is made, as that one checks it."""
        delay, deployer = parameters.admin_delay_seconds, self._account.address
        governor = parameters.governor or deployer
        timelock = self._create("Timelock", 0, list(dict.fromkeys((deployer, governor))), [ANYBODY])
        administered = (registry, queries, reputation)
        taking_over = [(one.address, one.encode_abi("acceptDefaultAdminTransfer")) for one in administered]
        taking_over += [
            (one.address, one.encode_abi("changeDefaultAdminDelay", [delay])) for one in administered
        ]
        self._propose(timelock, taking_over)
        waiting = [(timelock.address, timelock.encode_abi("updateDelay", [delay]))]
        self._propose(timelock, waiting)
        self._carry_out(timelock, waiting)
        for one in administered:
            handing_over = one.functions.beginDefaultAdminTransfer(timelock.address)
            self._transact(handing_over, "handing over administration")
        self._quorum(parameters, registry, reputation, timelock)
        self._carry_out(timelock, taking_over)
        if governor != deployer:
            self._renounce(timelock, "PROPOSER_ROLE", "CANCELLER_ROLE")
        self._announce(f"{governor} proposes, and the timelock administers, {delay} seconds later")

    def _quorum(
        self, parameters: Parameters, registry: Contract, reputation: Contract, timelock: Contract
    ) -> None:
        quorum = self._create(
            "DetectorQuorum",
            registry.address,
            reputation.address,
            timelock.address,
            parameters.admin_delay_seconds,
            parameters.detector_epoch_seconds,
            astuple(parameters.terms),
        )
        self._grant(registry, "SUSPENDER_ROLE", quorum.address)
        self._grant(reputation, "PENALTY_ROLE", quorum.address)

    def _propose(self, timelock: Contract, calls: Sequence[tuple[str, str]]) -> None:
        self._transact(timelock.functions.scheduleBatch(*_batch(calls), 0), "proposing a change")

    def _carry_out(self, timelock: Contract, calls: Sequence[tuple[str, str]]) -> None:
        """As soon as the chain's next block would: what was begun in the same second is refused."""
        change = timelock.functions.executeBatch(*_batch(calls))
        deadline = time.monotonic() + RECEIPT_TIMEOUT_SECONDS
        while (refusal := self._refusal(change)) is not None:
            if time.monotonic() > deadline:
                raise DeploymentError(f"the timelock does not take over: {refusal}; nothing was recorded")
            time.sleep(POLL_SECONDS)
        sender: TxParams = {"from": self._account.address}
        gas = change.estimate_gas(sender, block_identifier="pending")
        self._mined(change.transact({**sender, "gas": gas}), "carrying out a change")

    def _refusal(self, call: ContractFunction) -> str | None:
        try:
            call.call({"from": self._account.address}, block_identifier="pending")
        except ContractLogicError as problem:
            return str(problem)
        return None

    def _renounce(self, contract: Contract, *roles: str) -> None:
        for role in roles:
            role_id = contract.functions[role]().call()
            self._transact(
                contract.functions.renounceRole(role_id, self._account.address), f"renouncing {role}"
            )

    def _grant(self, contract: Contract, role: str, account: str) -> None:
        role_id = contract.functions[role]().call()
        self._transact(contract.functions.grantRole(role_id, account), f"granting {role}")
        self._announce(f"{account} has {role} at {contract.address}")

    def _transact(self, call: ContractFunction, what: str) -> TxReceipt:
        return self._mined(call.transact({"from": self._account.address}), what)

    def _mined(self, transaction_hash: bytes, what: str) -> TxReceipt:
        receipt = self._client.eth.wait_for_transaction_receipt(
            transaction_hash,  # type: ignore[arg-type]
            timeout=RECEIPT_TIMEOUT_SECONDS,
            poll_latency=POLL_SECONDS,
        )
        if receipt["status"] != 1:
            raise DeploymentError(f"{what} failed in transaction 0x{transaction_hash.hex()}")
        return receipt


def _batch(calls: Sequence[tuple[str, str]]) -> tuple[list[str], list[int], list[str], bytes, bytes]:
    """Targets, coins, calldata; it follows nothing, and needs no salt."""
    return [to for to, _ in calls], [0] * len(calls), [data for _, data in calls], bytes(32), bytes(32)


def _account(private_key: str) -> LocalAccount:
    try:
        account: LocalAccount = Account.from_key(private_key)
    except Exception:
        raise DeploymentError("the private key is not 32 bytes of hex: check the key file") from None
    return account


def _check(parameters: Parameters, deployer: str) -> None:
    if parameters.unpauser == (parameters.pauser or deployer):
        raise DeploymentError("pauser and unpauser must be two accounts: name another one")
    problem = parameters.terms.problem()
    if problem is not None:
        raise DeploymentError(f"{problem}: choose other terms of the quorum")
    for one in fields(parameters):
        value = getattr(parameters, one.name)
        if one.name.endswith("_seconds") and value <= 0:
            raise DeploymentError(f"{one.name} must be at least 1 second")
        if isinstance(value, str) and not Web3.is_checksum_address(value):
            raise DeploymentError(f"{one.name} {value} is not a checksummed address")


def _code_hash(client: Web3, address: Any) -> str:
    return "0x" + Web3.keccak(client.eth.get_code(address)).hex().removeprefix("0x")
