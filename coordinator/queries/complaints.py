"""Signed complaints of participants that they cannot work with an MPC node of their query."""

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.context import Context
from coordinator.models.queries import LossComplaint
from coordinator.queries import repository
from coordinator.queries.errors import SpecDoesNotFit
from coordinator.queries.reports import check_generation, check_present, check_signature, part_of
from coordinator.queries.schemas import LossNotice
from coordinator.wakeups import Topic
from soterone.crypto.messages import LossReport
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role

_RENEWAL_SECONDS = 600
"""A complaint with a deadline so much later takes the place of the one before: the chain takes it for longer."""


async def record_loss(context: Context, node: Account, notice: LossNotice) -> None:
    """Keep a participant's complaint about an MPC node of the present trio; the reconciler decides what follows.

    The same again changes nothing; `unlinked`, or a much later deadline, replaces what the node said before.
    """
    async with context.database.transaction() as session:
        query, participant = await part_of(session, notice.query_id, node, lock=True)
        check_generation(query, notice.generation)
        check_present(participant)
        message = LossReport(hash_bytes(notice.query_id), notice.generation, notice.lost, notice.deadline)
        check_signature(context.domain("QueryLedger"), message, notice.signature, node)
        await _check_lost(session, node, notice)
        if Stage(query.status).terminal or not await _keep(session, node, notice):
            return
        data = {"node": node, "lost": notice.lost, "unlinked": notice.unlinked}
        await repository.add_event(session, query.id, "loss-reported", data)
        await repository.wake(session, query)
    context.wakeups.notify(Topic.QUERIES)


async def _check_lost(session: AsyncSession, node: Account, notice: LossNotice) -> None:
    lost = await repository.participant(session, notice.query_id, notice.lost)
    if lost is None or lost.role != Role.MPC_NODE or lost.lost_generation is not None or lost.account == node:
        raise SpecDoesNotFit(
            f"{notice.lost} is no other MPC node of generation {notice.generation} of this query; "
            "only those are replaced"
        )


def _says_more(notice: LossNotice, known: LossComplaint) -> bool:
    """Whether a complaint is of another kind, or can be shown to the chain for a good while longer."""
    longer = notice.deadline >= known.deadline + _RENEWAL_SECONDS
    return longer or (notice.unlinked and not known.unlinked)


async def _keep(session: AsyncSession, node: Account, notice: LossNotice) -> bool:
    known = await session.get(LossComplaint, (notice.query_id, notice.generation, node, notice.lost))
    if known is not None and not _says_more(notice, known):
        return False
    row = LossComplaint(
        query_id=notice.query_id,
        generation=notice.generation,
        reporter=node,
        lost=notice.lost,
        unlinked=notice.unlinked or (known is not None and known.unlinked),
        deadline=notice.deadline,
        signature=f"0x{notice.signature.hex()}",
        reported_at=await repository.now(session),
    )
    await session.merge(row)
    await session.flush()
    return True
