"""The mailbox of detectors and accused without coins: what they would send to the quorum themselves is sent for them.

Nothing here is trusted: the contract checks every vote and signature, and whoever finds this silent sends the same
bytes itself.
"""

from typing import Final

from eth_utils import keccak
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.database import exclusive
from coordinator.errors import Malformed, Missing, TooMany
from coordinator.models.chain import OutboxEntry
from coordinator.wakeups import Topic
from soterone.chain.calls import Call
from soterone.chain.codec import decode_call
from soterone.chain.quorum import QUORUM, Quorum
from soterone.domain.ids import Account

RELAYED: Final = (
    "openEpoch",
    "seedEpoch",
    "commitVotes",
    "commitReversal",
    "uphold",
    "appeal",
    "reverse",
    "finalise",
    "readmit",
)
"""What anybody may call; governance is not among it."""
MOST_BYTES: Final = 16_384
MOST_AN_EPOCH: Final = 64


async def relay(context: Context, node: Account, data: bytes) -> None:
    """Write a node's call of the quorum to the outbox, once an epoch however often it is asked for.

    Errors: Missing without a quorum, Malformed for another call, RevertedError when the contract refuses it now,
    TooMany after `MOST_AN_EPOCH` calls of a node in an epoch.
    """
    quorum = Quorum(context.chain)
    if not quorum.is_deployed:
        raise Missing("this network has no quorum of detectors; there is nobody to send this to")
    call = Call(context.chain.contracts.addresses[QUORUM], data, f"{function_of(data)} for {node}")
    await context.chain.simulate(call, context.coordinator)
    name = outbox.key(f"{node}/quorum", keccak(data).hex()[:32], await quorum.present_epoch())
    async with context.database.transaction() as session:
        await exclusive(session, name.business_id)
        if await outbox.find(session, name) is None and await _relayed(session, name) >= MOST_AN_EPOCH:
            raise TooMany(
                "enough was relayed for this node in this epoch; send it yourself, or wait for the next"
            )
        await outbox.enqueue_anew(session, name, call)
    context.wakeups.notify(Topic.OUTBOX)


def function_of(data: bytes) -> str:
    """Return which function of the quorum these calldata call; Malformed when it is none that is relayed."""
    if len(data) <= MOST_BYTES:
        for function in RELAYED:
            if decode_call(QUORUM, function, data) is not None:
                return function
    raise Malformed(
        f"only calls of {', '.join(RELAYED)} are relayed to the quorum, of {MOST_BYTES} bytes at most"
    )


async def _relayed(session: AsyncSession, name: outbox.OutboxKey) -> int:
    statement = (
        select(func.count())
        .select_from(OutboxEntry)
        .where(
            col(OutboxEntry.business_id) == name.business_id, col(OutboxEntry.generation) == name.generation
        )
    )
    return int(await session.scalar(statement) or 0)
