"""What the governor decides: detectors' seats, terms, roles. Every change is proposed, public for a while, then made.

The governor is `contracts/Timelock.sol` (OpenZeppelin's TimelockController); only its proposers propose, anybody
carries out what has waited long enough.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from soterone.chain.calls import NOBODY, Call
from soterone.chain.client import ChainClient
from soterone.chain.codec import decode_result, encode_call
from soterone.chain.direct_sender import DirectSender
from soterone.chain.quorum import QUORUM
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.panels import Terms

TIMELOCK: Final = "Timelock"
_AT_ONCE: Final = bytes(32)
_DONE: Final = 1
_LOOK_SECONDS: Final = 0.5


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


async def carry_through(
    chain: ChainClient,
    sender: DirectSender,
    change: Call,
    tell: Callable[[str], None] = lambda sentence: None,
    *,
    wait: bool = True,
) -> Stage:
    """Propose a change where nobody has, and carry it out once it may be. Safe to repeat; `sender` must be a proposer.

    Without `wait` it goes as far as it can now. A change that was made before is made again, under another salt.
    """
    governor, calls = Governor(chain), GovernanceCalls(chain.contracts.addresses)
    salt, stage, ready_at = await _newest(governor, change)
    if stage is Stage.UNKNOWN:
        await sender.send(calls.propose(change, await governor.delay_seconds(), salt))
        tell(f"{change.description}: proposed")
        stage, ready_at = await governor.stage_of(change, salt)
    while stage is Stage.WAITING:
        moment = datetime.fromtimestamp(ready_at, UTC).isoformat()
        tell(f"{change.description}: may be done from {moment} on")
        if not wait:
            return stage
        await asyncio.sleep(_LOOK_SECONDS)
        stage, ready_at = await governor.stage_of(change, salt)
    await sender.send(calls.carry_out(change, salt))
    tell(f"{change.description}: done")
    return Stage.DONE


async def _newest(governor: Governor, change: Call) -> tuple[bytes, Stage, int]:
    """The first salt under which a change was not made yet."""
    number, (stage, ready_at) = 0, await governor.stage_of(change)
    while stage is Stage.DONE:
        number += 1
        stage, ready_at = await governor.stage_of(change, number.to_bytes(32))
    return number.to_bytes(32), stage, ready_at
