"""The outbox that a sender empties: rows of intended transactions, written in the database transaction of the state
that they announce. Here stand the port and an implementation in memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from soterone.chain.calls import Call
from soterone.chain.records import BlockRef
from soterone.domain.ids import Account, Hash32


class RowState(StrEnum):
    """due → sent → mined → final, or reverted from any of the first three; `reopen` leads back to due."""

    DUE = "due"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One intended transaction. `key` is its business identity (query, action, generation): there is one row a key.
    `gas_limit` None means estimate; a row with a limit is sent without trying it out first."""

    key: str
    call: Call
    gas_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed transaction; every attempt of a row bears the same nonce, so that at most one of them is ever mined."""

    transaction_hash: Hash32
    raw: bytes
    nonce: int
    gas_limit: int
    max_fee_wei: int
    priority_fee_wei: int

    @property
    def most_wei(self) -> int:
        """What it may cost at most."""
        return self.gas_limit * self.max_fee_wei


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a transaction was mined."""

    transaction_hash: Hash32
    block: BlockRef
    gas_used: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a contract refused: the name of its typed error (may be empty) and a sentence."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A row that was sent and is not final: its attempts, oldest first, and where it was mined, if it was."""

    row: OutboxRow
    attempts: tuple[Attempt, ...]
    included: Inclusion | None

    @property
    def nonce(self) -> int:
        """The nonce that the row holds."""
        return self.attempts[-1].nonce


class Outbox(Protocol):
    """The port. Every method is one durable transaction; all but `save_attempt` are idempotent."""

    async def lease(self, sender: Account, holder: str, seconds: float) -> bool:
        """Let `holder` be the only one who sends for this account, for so long from now; again renews it.

        Return False, and change nothing, while another holder's lease runs. Time is the store's own.
        """

    async def release(self, sender: Account, holder: str) -> None:
        """End the lease; nothing happens when it is another's."""

    async def due(self, limit: int) -> Sequence[OutboxRow]:
        """Return up to `limit` rows that are due, oldest first. They stay due until `save_attempt`."""

    async def outstanding(self, sender: Account) -> Sequence[Outstanding]:
        """Return the rows sent or mined by this account, by ascending nonce."""

    async def save_attempt(self, key: str, sender: Account, attempt: Attempt, known_attempts: int) -> bool:
        """Append a signed transaction and make the row sent; MUST be durable on return, as it is broadcast next.

        Return False, and write nothing, unless the row has exactly `known_attempts` attempts and is due (0) or sent by
        this account (more), and no other outstanding row of the account holds the nonce: another sender was faster.
        """

    async def mark_mined(self, key: str, inclusion: Inclusion) -> None:
        """The transaction succeeded in a block."""

    async def mark_unmined(self, key: str) -> None:
        """A reorganisation took the block away: the row is sent, with its attempts, again."""

    async def mark_final(self, key: str) -> None:
        """The block is deep enough; the row is outstanding no longer."""

    async def mark_reverted(self, key: str, refusal: Refusal, inclusion: Inclusion | None) -> None:
        """The contract refused; `inclusion` None when it did so before anything was sent."""

    async def reopen(self, key: str) -> None:
        """Forget the attempts, whose nonce another transaction used up: the row is due again. Nothing happens to rows
        that are mined, final or reverted."""


@dataclass(slots=True)
class _Entry:
    row: OutboxRow
    state: RowState = RowState.DUE
    sender: Account | None = None
    attempts: tuple[Attempt, ...] = ()
    inclusion: Inclusion | None = None
    refusal: Refusal | None = None


class MemoryOutbox:
    """An outbox that lasts as long as the process."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._leases: dict[Account, tuple[str, float]] = {}

    async def lease(self, sender: Account, holder: str, seconds: float) -> bool:
        """See Outbox."""
        now = time.monotonic()
        found, expires_at = self._leases.get(sender, (holder, now))
        if found != holder and expires_at > now:
            return False
        self._leases[sender] = (holder, now + seconds)
        return True

    async def release(self, sender: Account, holder: str) -> None:
        """See Outbox."""
        if self._leases.get(sender, ("", 0.0))[0] == holder:
            del self._leases[sender]

    def enqueue(self, row: OutboxRow) -> bool:
        """Add a due row; False, and nothing changes, when its key is known."""
        return self._entries.setdefault(row.key, entry := _Entry(row)) is entry

    def state_of(self, key: str) -> RowState:
        """Where a row stands."""
        return self._entries[key].state

    def inclusion_of(self, key: str) -> Inclusion | None:
        """Where a row was mined."""
        return self._entries[key].inclusion

    def refusal_of(self, key: str) -> Refusal | None:
        """Why a row was refused."""
        return self._entries[key].refusal

    async def due(self, limit: int) -> Sequence[OutboxRow]:
        """See Outbox."""
        return [entry.row for entry in self._entries.values() if entry.state is RowState.DUE][:limit]

    async def outstanding(self, sender: Account) -> Sequence[Outstanding]:
        """See Outbox."""
        found = [
            Outstanding(entry.row, entry.attempts, entry.inclusion) for entry in self._outstanding_of(sender)
        ]
        return sorted(found, key=lambda one: one.nonce)

    async def save_attempt(self, key: str, sender: Account, attempt: Attempt, known_attempts: int) -> bool:
        """See Outbox."""
        entry = self._entries[key]
        awaited = RowState.SENT if known_attempts else RowState.DUE
        if entry.state is not awaited or len(entry.attempts) != known_attempts:
            return False
        if entry.sender not in (None, sender):
            return False
        others = (one for one in self._outstanding_of(sender) if one is not entry)
        if any(one.attempts[-1].nonce == attempt.nonce for one in others):
            return False
        entry.state, entry.sender, entry.attempts = RowState.SENT, sender, (*entry.attempts, attempt)
        return True

    async def mark_mined(self, key: str, inclusion: Inclusion) -> None:
        """See Outbox."""
        self._entries[key].state, self._entries[key].inclusion = RowState.MINED, inclusion

    async def mark_unmined(self, key: str) -> None:
        """See Outbox."""
        self._entries[key].state, self._entries[key].inclusion = RowState.SENT, None

    async def mark_final(self, key: str) -> None:
        """See Outbox."""
        self._entries[key].state = RowState.FINAL

    async def mark_reverted(self, key: str, refusal: Refusal, inclusion: Inclusion | None) -> None:
        """See Outbox."""
        entry = self._entries[key]
        entry.state, entry.refusal, entry.inclusion = RowState.REVERTED, refusal, inclusion

    async def reopen(self, key: str) -> None:
        """See Outbox."""
        entry = self._entries[key]
        if entry.state is RowState.SENT:
            self._entries[key] = _Entry(entry.row)

    def _outstanding_of(self, sender: Account) -> list[_Entry]:
        open_states = (RowState.SENT, RowState.MINED)
        return [one for one in self._entries.values() if one.state in open_states and one.sender == sender]
