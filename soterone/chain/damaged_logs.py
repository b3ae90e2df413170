"""Logs of the contracts that are no events of theirs by the ABI, and how long to wait for better ones.

No honest contract emits such a log: the contract is broken, or the RPC lies. Waiting for ever would stop everybody whom
a broken contract serves; going on at once would let an RPC hide an event by spoiling its log.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from soterone.chain.errors import ChainError
from soterone.chain.events import Event, LogPosition, RawLog, decode

_log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 30.0
"""So long a follower asks again before it leaves a damaged log out."""

_MISFITS = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class DamagedLog:
    """A log of `contract` (by Solidity name) that is no event; `problem` says why."""

    position: LogPosition
    contract: str
    problem: str

    def __str__(self) -> str:
        """A part of a sentence that names the log."""
        at = self.position
        return (
            f"log {at.log_index} of block {at.block_number} (transaction {at.transaction_hash}) is no event of "
            f"{self.contract} ({self.problem})"
        )


class DamagedLogsError(ChainError):
    """The RPC gave a log that no honest contract could have emitted."""

    def __init__(self, log: DamagedLog) -> None:
        super().__init__(
            f"{log}. The contract is broken, or the chain's RPC lies: compare with another RPC. It is asked again for "
            "a while; then the log is left out."
        )
        self.log = log


class UnplacedLogError(ChainError):
    """The RPC gave a log that does not even say where it stands."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The chain's RPC gives logs without a place in the chain ({problem}): use another RPC."
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What logs say: the contracts' events in order, and those that are none."""

    events: tuple[Event, ...]
    damaged: tuple[DamagedLog, ...] = ()


def read_logs(logs: Sequence[RawLog], contracts: Mapping[str, str], chain_id: int) -> Reading:
    """Read the logs that `contracts` (names by lower-case address) emitted, pass over those of others.

    UnplacedLogError when one does not even say where it stands.
    """
    events, damaged = list[Event](), list[DamagedLog]()
    for log in logs:
        try:
            name = contracts.get(log["address"].lower())
            event = decode(log, chain_id) if name else None
        except _MISFITS as problem:
            damaged.append(_damaged(log, contracts, chain_id, problem))
        else:
            events += [event] if event else []
    return Reading(tuple(sorted(events, key=lambda one: one.position)), tuple(damaged))


@dataclass(slots=True)
class Patience:
    """Waits for the damaged logs of one block or range, `seconds` by `clock`."""

    seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _since: dict[LogPosition, float] = field(default_factory=dict)

    def leave_out(self, damaged: Sequence[DamagedLog]) -> None:
        """Let damaged logs be left out, loudly; DamagedLogsError while one of them was not waited for long enough."""
        now = self.clock()
        self._since = {one.position: self._since.get(one.position, now) for one in damaged}
        fresh = next((one for one in damaged if now - self._since[one.position] < self.seconds), None)
        if fresh is not None:
            raise DamagedLogsError(fresh)
        tell_of(damaged)


def tell_of(damaged: Sequence[DamagedLog]) -> None:
    """Log what is left out."""
    for one in damaged:
        at = one.position
        _log.error(
            "damaged_log_left_out",
            block=at.block_number,
            transaction=at.transaction_hash,
            log_index=at.log_index,
            contract=one.contract,
            problem=one.problem,
        )


def _damaged(log: RawLog, contracts: Mapping[str, str], chain_id: int, problem: Exception) -> DamagedLog:
    try:
        position = LogPosition.from_log(log, chain_id)
        return DamagedLog(position, contracts[log["address"].lower()], str(problem))
    except _MISFITS as error:
        raise UnplacedLogError(repr(error)) from error
