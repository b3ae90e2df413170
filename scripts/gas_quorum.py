"""The claims whose transactions are measured: three votes of a panel of five, and five of seven.

The accused has a record of an epoch before, as its score would be worth nothing else; the epoch's seed is a block hash,
so that each run draws other panels and a figure may differ by some tens of gas.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Final

from eth_utils import keccak
from web3.types import RPCEndpoint

from soterone.chain.deployment import Parameters
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain, Vote, sign
from soterone.domain.detection import Kind
from soterone.domain.ids import Account
from soterone.domain.reputation import Severity

if TYPE_CHECKING:
    from scripts.gas_scenario import Scenario

HOUR_SECONDS: Final = 3600
DETECTOR: Final = 4
SEATS: Final = 16
DELAY_SECONDS: Final = 1


class Quorum:
    """Sixteen detectors on the scenario's chain."""

    def __init__(self, network: Scenario, accused: Account) -> None:
        self._network, self._accused = network, accused
        self._detectors = {one.account: one for one in sorted_signers("detector", SEATS)}

    def measure(self) -> dict[str, int]:
        """Gas used to uphold a claim, by operation."""
        self._enlist()
        figures = {"penalty_5": self._penalty(7, 5)}
        smaller = replace(Parameters().terms, panel_size=5, threshold=3)
        self._govern(self._quorum.encode_abi("setTerms", [astuple(smaller)]))
        return figures | {"penalty_3": self._penalty(5, 3)}

    def _enlist(self) -> None:
        contracts = self._network.contracts
        self._governor, self._quorum = contracts["Timelock"], contracts["DetectorQuorum"]
        for signer in self._detectors.values():
            self._network.register(signer, DETECTOR)
        self._govern(self._quorum.encode_abi("rotate", [[], list(self._detectors)]))

    def _govern(self, change: str) -> None:
        operation = (self._quorum.address, 0, change, b"\0" * 32, b"\0" * 32)
        self._network.send(self._governor.functions.schedule(*operation, DELAY_SECONDS))
        self._network.pass_time(2 * DELAY_SECONDS)
        self._network.send(self._governor.functions.execute(*operation))

    def _penalty(self, size: int, threshold: int) -> int:
        epoch = self._new_epoch()
        accused = (self._accused, self._accused, epoch, Kind.SNAPSHOT, Severity.GRAVE)
        votes = [Vote(*accused, keccak(text=f"evidence {member}")) for member in range(threshold)]
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
        return self._network.send(self._quorum.functions.uphold(astuple(votes[0])[:5], ballot))

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
