"""The claims whose transactions are measured: three votes of a panel of five, and five of seven.

The accused has a record of an epoch before, as its score would be worth nothing else; the epoch's seed is a block hash,
so that each run draws other panels and a figure may differ by some tens of gas.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final

from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract
from web3.types import RPCEndpoint

from soterone.chain.artifacts import load_artifact
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain, Message, sign
from soterone.domain.ids import Account

if TYPE_CHECKING:
    from scripts.gas_scenario import Scenario

HOUR_SECONDS: Final = 3600
DETECTOR: Final = 4
LIVENESS: Final = 1
SEVERITIES: Final = 0x01333230
SEATS: Final = 16
DELAY_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Vote(Message):
    """A detector accuses. For `DetectorQuorum`."""

    solidity = (
        "address", "address", "uint32", "uint64", "uint8", "uint8", "bytes32", "uint32", "uint32", "uint32",
    )  # fmt: skip
    node: Account
    operator: Account
    incarnation: int
    epoch: int
    kind: int
    severity: int
    evidence_hash: bytes
    cores: int = 0
    memory_mib: int = 0
    speed: int = 0


class Quorum:
    """Sixteen detectors in a quorum of their own on the scenario's chain."""

    def __init__(self, network: Scenario, accused: Account) -> None:
        self._network, self._accused = network, accused
        self._detectors = {one.account: one for one in sorted_signers("detector", SEATS)}

    def measure(self) -> dict[str, int]:
        """Gas used to uphold a claim, by operation."""
        self._deploy()
        figures = {"penalty_5": self._penalty(7, 5)}
        self._govern(self._quorum.encode_abi("setTerms", [(5, 3, 24, 720, SEVERITIES)]))
        return figures | {"penalty_3": self._penalty(5, 3)}

    def _deploy(self) -> None:
        contracts = self._network.contracts
        registry, ledger = contracts["NodeRegistry"], contracts["ReputationLedger"]
        relay = [self._network.relay]
        self._governor = self._create("Timelock", DELAY_SECONDS, relay, relay)
        terms = (7, 5, 24, 720, SEVERITIES)
        self._quorum = self._create(
            "DetectorQuorum",
            registry.address,
            ledger.address,
            self._governor.address,
            DELAY_SECONDS,
            HOUR_SECONDS,
            terms,
        )
        for contract, role in ((registry, "SUSPENDER_ROLE"), (ledger, "PENALTY_ROLE")):
            self._network.send(contract.functions.grantRole(keccak(text=role), self._quorum.address))
        for signer in self._detectors.values():
            self._network.register(signer, DETECTOR)
        self._govern(self._quorum.encode_abi("rotate", [[], list(self._detectors)]))

    def _create(self, name: str, *arguments: object) -> Contract:
        artifact, client = load_artifact(name), self._network.client
        factory: type[Contract] = client.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        sent = factory.constructor(*arguments).transact({"from": self._network.relay})
        address = client.eth.wait_for_transaction_receipt(sent, poll_latency=0.005)["contractAddress"]
        return factory(Web3.to_checksum_address(str(address)))

    def _govern(self, change: str) -> None:
        operation = (self._quorum.address, 0, change, b"\0" * 32, b"\0" * 32)
        self._network.send(self._governor.functions.schedule(*operation, DELAY_SECONDS))
        self._network.pass_time(2 * DELAY_SECONDS)
        self._network.send(self._governor.functions.execute(*operation))

    def _penalty(self, size: int, threshold: int) -> int:
        epoch = self._new_epoch()
        votes = [
            Vote(self._accused, self._accused, 1, epoch, LIVENESS, 2, keccak(text=f"evidence {member}"))
            for member in range(threshold)
        ]
        panel = self._quorum.functions.panelOf(self._accused, epoch).call()
        signatures = [
            sign(self._detectors[detector], self._domain, vote)
            for detector, vote in zip(panel, votes, strict=False)
        ]
        silent = [keccak(text=f"silent {member}") for member in range(size - threshold)]
        hashes = [*(keccak(one) for one in signatures), *silent]
        self._network.send(self._quorum.functions.commitVotes(self._accused, hashes))
        self._network.pass_time(HOUR_SECONDS)
        leaves = [_leaf(*one) for one in zip(panel[threshold:], silent, strict=True)]
        entries = [*(one.evidence_hash for one in votes), *leaves]
        nothing_measured: list[tuple[int, int, int]] = []
        ballot = ((1 << threshold) - 1, entries, b"".join(signatures), nothing_measured)
        return self._network.send(self._quorum.functions.uphold(astuple(votes[0])[:6], ballot))

    def _new_epoch(self) -> int:
        self._network.pass_time(HOUR_SECONDS)
        self._network.send(self._quorum.functions.openEpoch())
        self._network.client.provider.make_request(RPCEndpoint("anvil_mine"), [3])
        epoch: int = self._quorum.functions.presentEpoch().call()
        self._network.send(self._quorum.functions.seedEpoch(epoch))
        return epoch

    @property
    def _domain(self) -> Domain:
        return Domain(self._network.client.eth.chain_id, Account(self._quorum.address))


def _leaf(detector: str, signature_hash: bytes) -> bytes:
    return keccak(bytes.fromhex(detector.removeprefix("0x")).rjust(32, b"\0") + signature_hash)


def signer_of(name: str) -> Signer:
    """The signer whose key is the hash of a name."""
    return Signer.from_key(keccak(text=name))


def sorted_signers(kind: str, count: int) -> list[Signer]:
    """Signers with fixed keys, in ascending order of their accounts."""
    signers = [signer_of(f"{kind} {number}") for number in range(count)]
    return sorted(signers, key=lambda one: int(one.account, 16))
