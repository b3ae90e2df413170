"""Waits until a node's transaction, written to the outbox, stands in a block."""

import time

from eth_utils import keccak

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.nodes.errors import NotMinedYet, RegistrationRefused
from coordinator.wakeups import Topic
from soterone.chain.calls import Call
from soterone.domain.ids import hash32

_POLL_SECONDS = 0.1
_MINED, _REVERTED = ("mined", "final"), "reverted"


def key_of(call: Call, action: str, incarnation: int) -> outbox.OutboxKey:
    """Return the outbox's name for a signed call: the same call is sent once, and the name tells no account."""
    return outbox.key(hash32(keccak(call.data)), action, incarnation)


async def until_mined(context: Context, name: outbox.OutboxKey) -> bytes:
    """Return the transaction's hash once it is mined.

    RegistrationRefused when the contract refused it, NotMinedYet after `registration_wait_seconds`.
    """
    give_up = time.monotonic() + context.settings.registration_wait_seconds
    with context.wakeups.listen(Topic.OUTBOX, Topic.CHAIN) as bell:
        while time.monotonic() < give_up:
            async with context.database.reading() as session:
                row = await outbox.find(session, name)
            if row is not None and row.state in _MINED and row.transaction_hash:
                return bytes.fromhex(row.transaction_hash[2:])
            if row is not None and row.state == _REVERTED:
                raise RegistrationRefused(row.error)
            await bell.wait(_POLL_SECONDS)
    raise NotMinedYet()
