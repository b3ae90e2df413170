"""What the one slot of a query commits to, and how it is supplied again to the contracts that check it.

Mirrors `QueryCommitment.sol`; the layout is laid down in `IQueryLedger.sol`. Pure: it asks no chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from eth_utils import keccak

from soterone.crypto.accounts import account_bytes
from soterone.crypto.messages import QueryOrder
from soterone.domain.ids import Account

EMPTY_HASH: Final = bytes(32)
_COMMITMENT_MASK: Final = (1 << 208) - 1


@dataclass(frozen=True, slots=True)
class Roster:
    """Who takes part: `mpcs` by rank, `lost` the replaced ones, oldest first."""

    customer: Account
    owners: tuple[Account, ...]
    mpcs: tuple[Account, ...]
    lost: tuple[Account, ...] = ()

    @property
    def participants(self) -> tuple[Account, ...]:
        """Everybody in the order that settlements use: owners, mpcs, lost."""
        return (*self.owners, *self.mpcs, *self.lost)

    def replaced(self, old_mpc: Account, new_mpc: Account) -> Roster:
        """The roster after a replacement: the successor takes the rank; ValueError when `old_mpc` has none."""
        rank = self.mpcs.index(old_mpc)
        mpcs = (*self.mpcs[:rank], new_mpc, *self.mpcs[rank + 1 :])
        return replace(self, mpcs=mpcs, lost=(*self.lost, old_mpc))


@dataclass(frozen=True, slots=True)
class Terms:
    """What was ordered and never changes; hashes are 32 bytes."""

    spec_hash: bytes
    result_key_hash: bytes
    max_run_seconds: int
    result_retry_seconds: int
    cleanup_grace_seconds: int
    max_replacements: int

    def abi(self) -> tuple[Any, ...]:
        """The struct `IQueryLedger.Terms`, as web3 takes it; `max_replacements` is no member of it."""
        timers = (self.max_run_seconds, self.result_retry_seconds, self.cleanup_grace_seconds)
        return (self.spec_hash, self.result_key_hash, *timers)

    def digest(self) -> bytes:
        """termsHash, 32 bytes."""
        spec_hash, result_key_hash, *timers = self.abi()
        return keccak(b"".join([spec_hash, result_key_hash, *(one.to_bytes(32) for one in timers)]))


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything behind the commitment of one query; `result_hash` only once it is completed."""

    roster: Roster
    terms: Terms
    result_hash: bytes | None = None

    @classmethod
    def of_order(cls, order: QueryOrder) -> Opening:
        """The opening right after dispatch."""
        terms = Terms(
            order.spec_hash,
            order.result_key_hash,
            order.max_run_seconds,
            order.result_retry_seconds,
            order.cleanup_grace_seconds,
            order.max_replacements,
        )
        return cls(Roster(order.customer, order.owners, order.mpcs), terms)

    def replaced(self, old_mpc: Account, new_mpc: Account) -> Opening:
        """The opening after `MPCUpdated`."""
        return replace(self, roster=self.roster.replaced(old_mpc, new_mpc))

    def completed(self, result_hash: bytes) -> Opening:
        """The opening after `QueryCompleted`."""
        return replace(self, result_hash=result_hash)

    def roster_digest(self) -> bytes:
        """rosterHash, 32 bytes."""
        numbers = (len(self.roster.owners), self.terms.max_replacements)
        words = [_word(self.roster.customer), *(one.to_bytes(32) for one in numbers)]
        return keccak(b"".join([*words, *map(_word, self.roster.participants)]))

    def commitment(self) -> int:
        """The 208 bits that stand in the query's slot."""
        running = _fold(self.roster_digest(), self.terms.digest())
        return running if self.result_hash is None else _fold(running.to_bytes(32), self.result_hash)

    def abi(self) -> tuple[Any, ...]:
        """The struct `IQueryLedger.Opening`, as web3 takes it."""
        roster = self.roster
        head = (roster.customer, len(roster.owners), self.terms.max_replacements, list(roster.participants))
        return (*head, self.terms.digest(), self.result_hash or EMPTY_HASH)


def result_hash(share_hashes: Sequence[bytes | None]) -> bytes:
    """keccak256 of the three share hashes in rank order, zero where one is absent."""
    if len(share_hashes) != 3:
        raise ValueError(f"a result has three ranks, not {len(share_hashes)}")
    return keccak(b"".join(one or EMPTY_HASH for one in share_hashes))


def _fold(left: bytes, right: bytes) -> int:
    return int.from_bytes(keccak(left + right)) & _COMMITMENT_MASK


def _word(account: Account) -> bytes:
    return bytes(12) + account_bytes(account)
