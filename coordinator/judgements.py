"""The mailbox of detectors and accused without coins: what they would send to the quorum themselves is sent for them.

Nothing here is trusted: the contract checks every vote and signature, and whoever finds this silent sends the same
bytes itself.
"""

from collections.abc import Collection
from typing import Any, Final

from eth_utils import keccak
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.database import exclusive
from coordinator.errors import Forbidden, Malformed, Missing, TooMany
from coordinator.models.chain import OutboxEntry
from coordinator.wakeups import Topic
from soterone.chain.calls import Call
from soterone.chain.codec import decode_call
from soterone.chain.quorum import QUORUM, Quorum
from soterone.domain.detection import Claim
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

    Errors: Missing without a quorum, Malformed for another call, Forbidden for votes of a panel that the node does not
    sit on, RevertedError when the contract refuses it now, TooMany after `MOST_AN_EPOCH` calls of a node in an epoch.
    """
    quorum = Quorum(context.chain)
    if not quorum.is_deployed:
        raise Missing("this network has no quorum of detectors; there is nobody to send this to")
    function, arguments = read_call(data)
    call = Call(context.chain.contracts.addresses[QUORUM], data, f"{function} for {node}")
    await context.chain.simulate(call, context.coordinator)
    if node not in await _senders(quorum, function, arguments, node):
        raise Forbidden("votes are carried for a member of their panel alone; send them yourself")
    name = outbox.key(f"{node}/quorum", keccak(data).hex()[:32], await quorum.present_epoch())
    async with context.database.transaction() as session:
        await exclusive(session, name.business_id)
        if await outbox.find(session, name) is None and await _relayed(session, name) >= MOST_AN_EPOCH:
            raise TooMany(
                "enough was relayed for this node in this epoch; send it yourself, or wait for the next"
            )
        await outbox.enqueue_anew(session, name, call)
    context.wakeups.notify(Topic.OUTBOX)


def read_call(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return which function of the quorum these calldata call, and the arguments; Malformed when it is none that is
    relayed, or an appeal without a signature, which would count as the coordinator's own."""
    if len(data) <= MOST_BYTES:
        for function in RELAYED:
            if (arguments := decode_call(QUORUM, function, data)) is not None:
                if function == "appeal" and not arguments[-1]:
                    raise Malformed("sign the appeal: without a signature it is its sender's")
                return function, arguments
    raise Malformed(
        f"only calls of {', '.join(RELAYED)} are relayed to the quorum, of {MOST_BYTES} bytes at most"
    )


async def _senders(
    quorum: Quorum, function: str, arguments: tuple[Any, ...], node: Account
) -> Collection[Account]:
    """For whom a call is carried. The contract takes any number of commitments, also those that open to nothing; every
    other call succeeds once."""
    match function, arguments:
        case "commitVotes", (accused, _):
            return await quorum.panel_of(accused, await quorum.present_epoch())
        case "commitReversal", (claim_id, claim, _):
            return await quorum.appeal_panel_of(claim_id, Claim.from_abi(claim))
    return (node,)


async def _relayed(session: AsyncSession, name: outbox.OutboxKey) -> int:
    statement = (
        select(func.count())
        .select_from(OutboxEntry)
        .where(
            col(OutboxEntry.business_id) == name.business_id, col(OutboxEntry.generation) == name.generation
        )
    )
    return int(await session.scalar(statement) or 0)
