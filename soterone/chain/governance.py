"""What the governor decides: detectors' seats, terms, roles. Every change is proposed, public for a while, then made.

The governor is `contracts/Timelock.sol` (OpenZeppelin's TimelockController); only its proposers propose, anybody
carries out what has waited long enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any

from soterone.chain.calls import NOBODY, Call
from soterone.chain.client import ChainClient
from soterone.chain.codec import decode_result, encode_call
from soterone.chain.quorum import QUORUM
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.panels import Terms

TIMELOCK = "Timelock"
_AT_ONCE = bytes(32)
_DONE = 1


class Stage(Enum):
    """How far a change is."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    READY = "ready"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class GovernanceCalls:
    """Builds what the governor of the contracts at `addresses` (by Solidity name) may do, and how it comes to do it."""

    addresses: Mapping[str, Account]

    def rotate(self, removed: Sequence[Account], enlisted: Sequence[Account]) -> Call:
        """Take seats away and give others. Whoever is enlisted must be an active detector whose operator has no other
        seat."""
        lists = [sorted(accounts, key=lambda one: int(one, 16)) for accounts in (removed, enlisted)]
        return self._quorum("change the detectors' seats", "rotate", *lists)

    def set_terms(self, terms: Terms) -> Call:
        """Other terms for epochs not yet open."""
        return self._quorum("change the quorum's terms", "setTerms", astuple(terms))

    def grant(self, contract: str, role: bytes, account: Account) -> Call:
        """Give a role (32 bytes) at a contract that the governor administers."""
        data = encode_call(contract, "grantRole", role, account)
        return Call(self.addresses[contract], data, f"grant a role of {contract} to {account}")

    def propose(self, change: Call, delay_seconds: int, salt: bytes = _AT_ONCE) -> Call:
        """Proposers only. `salt` (32 bytes) tells equal changes apart."""
        arguments = (change.to, 0, change.data, _AT_ONCE, salt, delay_seconds)
        return self._timelock(f"propose to {change.description}", "schedule", *arguments)

    def carry_out(self, change: Call, salt: bytes = _AT_ONCE) -> Call:
        """Anybody, once the change has waited; a refusal by the contract changed is a refusal of this."""
        arguments = (change.to, 0, change.data, _AT_ONCE, salt)
        return self._timelock(change.description, "execute", *arguments)

    def _quorum(self, description: str, function: str, *arguments: Any) -> Call:
        return Call(self.addresses[QUORUM], encode_call(QUORUM, function, *arguments), description)

    def _timelock(self, description: str, function: str, *arguments: Any) -> Call:
        return Call(self.addresses[TIMELOCK], encode_call(TIMELOCK, function, *arguments), description)


class Governor:
    """Reads the governor of one network. Every method may raise what a `ChainClient` raises."""

    def __init__(self, chain: ChainClient) -> None:
        self._chain = chain

    async def delay_seconds(self) -> int:
        """How long a change is public before it can be made, at least."""
        (seconds,) = await self._read("getMinDelay")
        return int(seconds)

    async def may_propose(self, account: Account) -> bool:
        """Whether an account is a proposer."""
        (role,) = await self._read("PROPOSER_ROLE")
        (granted,) = await self._read("hasRole", hash_bytes(role), account)
        return bool(granted)

    async def stage_of(self, change: Call, salt: bytes = _AT_ONCE) -> tuple[Stage, int]:
        """How far a proposed change is, and from which time (seconds since 1970) it can be made; 0 when unknown or
        done."""
        (operation,) = await self._read("hashOperation", change.to, 0, change.data, _AT_ONCE, salt)
        (ready_at,) = await self._read("getTimestamp", hash_bytes(operation))
        if ready_at in (0, _DONE):
            return (Stage.DONE if ready_at else Stage.UNKNOWN), 0
        is_ready = (await self._chain.head()).timestamp >= ready_at
        return (Stage.READY if is_ready else Stage.WAITING), int(ready_at)

    async def _read(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        call = Call(
            self._chain.contracts.addresses[TIMELOCK], encode_call(TIMELOCK, function, *arguments), function
        )
        return decode_result(TIMELOCK, function, await self._chain.simulate(call, NOBODY))
