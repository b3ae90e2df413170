"""What detectors accuse nodes of, what they show for it, and how votes and claims are named on chain.

Nothing here votes, sends or asks: panels are drawn in `soterone.domain.panels`, votes signed in
`soterone.crypto.messages`, and the chain is spoken to in `soterone.chain.quorum`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, Self

import rfc8785
from eth_utils import keccak
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from soterone.domain.ids import Account, Hash32, hash32, hash_bytes
from soterone.domain.reputation import Severity

MIB: Final = 2**20
NO_HASH: Final = bytes(32)
"""The place of a panel's member that did not vote."""


class Kind(IntEnum):
    """What a claim is about."""

    LIVENESS = 1
    PROFILE = 2
    SNAPSHOT = 3
    VERSION = 4
    DATASET = 5
    DUTY = 6


class ClaimStatus(IntEnum):
    """`IDetectorQuorum.Status`; Reversed and Final never change."""

    NONE = 0
    COMMITTED = 1
    UPHELD = 2
    APPEALED = 3
    REVERSED = 4
    FINAL = 5


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of a node: whole cores, memory in MiB, speed in thousandths of the yardstick task a second."""

    cores: int
    memory_mib: int
    speed: int

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes."""
        return self.memory_mib * MIB


NOTHING_MEASURED: Final = Measurement(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Accusation:
    """What the voters of one claim agree on, whichever incarnation of the node it was; `epoch` is the quorum's."""

    node: Account
    operator: Account
    epoch: int
    kind: Kind
    severity: Severity

    @property
    def subject(self) -> bytes:
        """keccak256(abi.encode(node, operator, epoch)), which a commitment to votes names."""
        return keccak(_words(int(self.node, 16), int(self.operator, 16), self.epoch))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one detector concludes: the accusation that it signs, the hash of what it shows for it, and what it measured
    when the accusation is about a profile."""

    accusation: Accusation
    evidence_hash: Hash32
    measured: Measurement = NOTHING_MEASURED


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as `ClaimUpheld` announced it, which every later call about it repeats.

    Bit i of `signers` stands for member i of the panel. `added` is the bad evidence (1e9 fixed point) that it brought
    in epoch `ledger_epoch` of the ReputationLedger.
    """

    accusation: Accusation
    signers: int
    added: int
    ledger_epoch: int

    @classmethod
    def from_abi(cls, values: Sequence[Any]) -> Self:
        """Read the struct `IDetectorQuorum.Claim`."""
        (node, operator, epoch, kind, severity), *rest = values
        accusation = Accusation(node, operator, epoch, Kind(kind), Severity(severity))
        return cls(accusation, *rest)

    def abi(self) -> tuple[Any, ...]:
        """Return the struct."""
        return astuple(self)

    def signers_among(self, panel: Sequence[Account]) -> tuple[Account, ...]:
        """Who upheld it, of its panel in ascending order."""
        return tuple(one for place, one in enumerate(panel) if self.signers >> place & 1)


class Evidence(BaseModel):
    """What a detector saw, kept by it and shown in an appeal; only its hash stands on chain.

    `findings` are the probe's own, such as challenge, answer and times. `salt` (32 random bytes, hexadecimal) keeps
    findings that are easily guessed from being tried out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: str
    node: str
    epoch: int = Field(ge=0)
    kind: Kind
    findings: dict[str, JsonValue]
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def hash(self) -> Hash32:
        """SHA-256 of the canonical JSON (RFC 8785): `evidenceHash` in a vote."""
        return hash32(hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).digest())


class CounterEvidence(BaseModel):
    """What the accused answers to a claim; its hash stands on chain, and the panel that hears the appeal reads it.

    `queries` are those that the node says it computed while it was judged, which the chain bears out or not;
    `statement` is for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim_id: Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
    node: str
    queries: tuple[Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")], ...] = Field((), max_length=16)
    statement: str = Field("", max_length=2000)
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def hash(self) -> Hash32:
        """SHA-256 of the canonical JSON (RFC 8785): `counterEvidenceHash` in an appeal."""
        return hash32(hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).digest())


def lower_median(measurements: Sequence[Measurement]) -> Measurement:
    """The lower median of each value, as the contract announces it; ValueError when there is none.

    Of k honest measurements fewer than k / 2 lies cannot move it past the honest ones.
    """
    if not measurements:
        raise ValueError("nobody measured anything")
    middle = (len(measurements) - 1) // 2
    return Measurement(*(sorted(values)[middle] for values in zip(*map(astuple, measurements), strict=True)))


def reversal_subject(claim_id: Hash32, epoch: int) -> bytes:
    """keccak256(abi.encode(claimId, epoch)), which a commitment to votes on an appeal names."""
    return keccak(hash_bytes(claim_id) + epoch.to_bytes(32))


def leaf_of(detector: Account, signature_hash: bytes) -> bytes:
    """What a member's place in a commitment holds; `signature_hash` is keccak256 of its 65-byte signature."""
    return keccak(int(detector, 16).to_bytes(32) + signature_hash)


def leaves_of(panel: Sequence[Account], signature_hashes: Sequence[bytes]) -> list[bytes]:
    """The places of a commitment in the panel's order, of the hashes that `commitVotes` is given."""
    return [
        leaf_of(member, one) if one != NO_HASH else NO_HASH
        for member, one in zip(panel, signature_hashes, strict=True)
    ]


def commitment_to(subject: bytes, leaves: Sequence[bytes]) -> Hash32:
    """The name of a commitment, and of the claim that its votes uphold; leaves in the panel's order."""
    return hash32(keccak(subject + b"".join(leaves)))


def signature_hashes(panel: Sequence[Account], votes: Mapping[Account, bytes]) -> tuple[bytes, ...]:
    """keccak256 of each member's signature in the panel's order, zero for those without one."""
    return tuple(keccak(votes[one]) if one in votes else NO_HASH for one in panel)


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)
