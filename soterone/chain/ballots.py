"""Ballots: the votes of a panel as the quorum's contract counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from eth_utils import keccak

from soterone.crypto.messages import Reversal, Vote
from soterone.domain.detection import (
    Kind,
    Measurement,
    commitment_to,
    leaf_of,
    reversal_subject,
)
from soterone.domain.ids import Account, Hash32


@dataclass(frozen=True, slots=True)
class SignedVote:
    """A vote on a node or an appeal with its 65-byte signature: secret until the epoch after that of the vote."""

    message: Vote | Reversal
    signature: bytes

    @property
    def signature_hash(self) -> bytes:
        """What is committed to before the vote is shown."""
        return keccak(self.signature)


@dataclass(frozen=True, slots=True)
class Ballot:
    """`IDetectorQuorum.Ballot`; `voters` are the signers, in the panel's order."""

    signers: int
    entries: tuple[bytes, ...]
    signatures: bytes
    measurements: tuple[Measurement, ...]
    voters: tuple[Account, ...]

    @classmethod
    def of(
        cls, panel: Sequence[Account], leaves: Sequence[bytes], votes: Mapping[Account, SignedVote]
    ) -> Self:
        """Open a commitment: `leaves` as `VotesCommitted` has them, in the panel's order. Votes that were not
        committed, and those of others, are left out: with none of them the ballot has no signer."""
        counted = {
            member: votes[member]
            for member, leaf in zip(panel, leaves, strict=True)
            if member in votes and leaf_of(member, votes[member].signature_hash) == leaf
        }
        entries = [
            counted[member].message.evidence_hash if member in counted else leaf
            for member, leaf in zip(panel, leaves, strict=True)
        ]
        return cls(
            sum(1 << place for place, member in enumerate(panel) if member in counted),
            tuple(entries),
            b"".join(vote.signature for vote in counted.values()),
            tuple(one for vote in counted.values() for one in _measured(vote.message)),
            tuple(counted),
        )

    def abi(self) -> tuple[Any, ...]:
        """Return the struct."""
        measured = [(one.cores, one.memory_mib, one.speed) for one in self.measurements]
        return self.signers, list(self.entries), self.signatures, measured


def reversal_id(claim_id: Hash32, epoch: int, leaves: Sequence[bytes]) -> Hash32:
    """The commitment to votes on an appeal, in its epoch."""
    return commitment_to(reversal_subject(claim_id, epoch), leaves)


def _measured(message: Vote | Reversal) -> tuple[Measurement, ...]:
    if not isinstance(message, Vote) or message.kind != Kind.PROFILE:
        return ()
    return (Measurement(message.cores, message.memory_mib, message.speed),)
