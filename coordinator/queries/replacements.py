"""The replacement of a lost MPC node: a loss is recorded, a later block seeds the draw, the successor is announced."""

import json
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.models.chain import OutboxEntry
from coordinator.models.queries import LossComplaint, Offer, Participant, Query, Replacement
from coordinator.nodes import repository as nodes
from coordinator.queries import repository
from coordinator.queries.facts import Situation
from coordinator.queries.orders import opening_of
from coordinator.queries.seeds import Outlook, Seed, minimum_version_of
from coordinator.resources import service as resources
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.records import Block
from soterone.crypto.messages import LossReport
from soterone.domain.acceptance import accepts
from soterone.domain.candidates import MOST_CANDIDATES, Candidate, TooFewCandidatesError, rank, successor
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.lifecycle import Announcement, Stage
from soterone.domain.recovery import Loss
from soterone.domain.roles import Role

_REDRAW_SECONDS = 2.0
_SOONEST_DEADLINE_SECONDS, _LATEST_DEADLINE_SECONDS = 300, 29 * 86_400


async def record(
    session: AsyncSession, situation: Situation, loss: Loss, outlook: Outlook | None, confirmations: int
) -> str:
    """Fix a loss and its seed block, which does not exist yet; "" when no complaint about it would stand on chain."""
    complaint = None if outlook is None else _usable(situation.complaints, loss.node, outlook.head)
    if outlook is None or complaint is None:
        return ""
    query = situation.query
    row = Replacement(
        query_id=query.id,
        generation=query.generation + 1,
        lost=loss.node,
        blamed=loss.blamed,
        reporter=complaint.reporter,
        deadline=complaint.deadline,
        signature=complaint.signature,
        seed_block=outlook.head.number + confirmations,
        recorded_at=await repository.now(session),
    )
    session.add(row)
    await session.flush()
    query.status = Stage.RECOVERING
    told = {"node": loss.node, "silent": loss.blamed, "reporter": row.reporter, "seed_block": row.seed_block}
    await repository.add_event(session, query.id, "mpc-lost", told)
    await repository.add_event(session, query.id, Stage.RECOVERING)
    return f"lost MPC node {loss.node}; block {row.seed_block} draws its successor"


def _usable(complaints: Sequence[LossComplaint], lost: Account, head: Block) -> LossComplaint | None:
    """Return the complaint whose signature the contract takes for longest, and still for some minutes."""
    soonest, latest = (
        head.timestamp + seconds for seconds in (_SOONEST_DEADLINE_SECONDS, _LATEST_DEADLINE_SECONDS)
    )
    about = [one for one in complaints if one.lost == lost and soonest <= one.deadline <= latest]
    return max(about, key=lambda one: (one.deadline, one.reporter), default=None)


async def renew(session: AsyncSession, query: Query, outlook: Outlook | None, confirmations: int) -> None:
    """Take a later seed block for a loss whose own is so old that agents could not repeat the draw any more."""
    if outlook is None or not outlook.stale:
        return
    row = await session.get(Replacement, (query.id, query.generation + 1))
    if row is not None:
        row.seed_block = outlook.head.number + confirmations
        await session.flush()


async def withdraw(session: AsyncSession, situation: Situation) -> str:
    """Forget a loss whose successor was not announced: the node is back, or not needed any more."""
    row = situation.open_replacement
    if row is None:
        return ""
    if row.successor is not None:
        await resources.release_node(session, row.query_id, row.successor)
    await session.delete(row)
    await session.flush()
    await repository.add_event(session, row.query_id, "mpc-returned", {"node": row.lost})
    return f"keeps MPC node {row.lost}"


async def draw(session: AsyncSession, situation: Situation, seed: Seed, calls: CallBuilder) -> str:
    """Draw the successor of the open loss, reserve it and write its announcement; note when nobody can follow."""
    query, row = situation.query, situation.open_replacement
    if row is None or row.seed_block != seed.block.number:
        return ""
    if row.successor is not None:
        await resources.release_node(session, query.id, row.successor)
    candidates = await _candidates(session, situation, row, seed)
    try:
        drawn = _drawn(situation, row, seed, candidates)
    except TooFewCandidatesError:
        row.successor = None
        if row.vacant_since is not None:
            return ""
        row.vacant_since = await repository.now(session)
        return f"finds nobody to follow {row.lost}"
    call = _call(situation, row, calls, drawn, [one.account for one in candidates])
    name = outbox.key(query.id, Announcement.REPLACE, query.generation)
    if not await outbox.enqueue_anew(session, name, call, _REDRAW_SECONDS):
        return ""
    await resources.take_over(session, query.id, row.lost, drawn)
    row.successor, row.vacant_since = drawn, None
    return f"sends {Announcement.REPLACE}: {drawn} follows {row.lost}"


def _drawn(situation: Situation, row: Replacement, seed: Seed, candidates: Sequence[Candidate]) -> Account:
    taken = frozenset(Account(one.operator) for one in _survivors(situation.participants, row))
    return successor(hash_bytes(seed.block.hash), candidates, minimum_version_of(situation.query), taken)


async def repeat(session: AsyncSession, situation: Situation, after_seconds: float) -> str:
    """Write the announcement of the same successor once more."""
    query = situation.query
    name = outbox.key(query.id, Announcement.REPLACE, query.chain_generation)
    refused = await outbox.find(session, name)
    if refused is None:
        return ""
    call = _same(refused)
    again = await outbox.enqueue_anew(session, name, call, after_seconds)
    return f"sends {Announcement.REPLACE} again" if again else ""


def _same(entry: OutboxEntry) -> Call:
    return Call(Account(entry.recipient), entry.data, entry.description)


async def _candidates(
    session: AsyncSession, situation: Situation, row: Replacement, seed: Seed
) -> list[Candidate]:
    """Return who may follow, best first: online with room, never in this query, of another operator than the two that
    are left, accepted by every owner."""
    used = {one.account for one in situation.participants}
    online = await nodes.online(session, Role.MPC_NODE, minimum_version_of(situation.query))
    free = [one.account for one in online if one.account in seed.candidates and one.account not in used]
    demand = await resources.demand_of(session, row.query_id, row.lost)
    roomy = await resources.with_room(session, free, demand)
    kept = [Account(one.operator) for one in _survivors(situation.participants, row)]
    wishes = await _wishes(session, situation.participants)
    able = [
        candidate
        for candidate in (seed.candidates[Account(one)] for one in roomy)
        if candidate.operator not in kept
        and all(accepts(accepted, own, [*kept, candidate.operator]) for own, accepted in wishes)
    ]
    return rank(able)[:MOST_CANDIDATES]


def _survivors(participants: Sequence[Participant], row: Replacement) -> list[Participant]:
    return [
        one
        for one in participants
        if one.role == Role.MPC_NODE and one.lost_generation is None and one.account != row.lost
    ]


async def _wishes(
    session: AsyncSession, participants: Sequence[Participant]
) -> list[tuple[Account, frozenset[Account]]]:
    """Return each owner's operator with the operators that the owner accepts."""
    owners = {one.account: Account(one.operator) for one in participants if one.role == Role.DATA_OWNER}
    if not owners:
        return []
    found = await session.scalars(
        select(Offer).where(
            col(Offer.query_id) == participants[0].query_id, col(Offer.node).in_(list(owners))
        )
    )
    accepted = {one.node: frozenset(map(Account, json.loads(one.accepted_operators_json))) for one in found}
    return [(operator, accepted.get(owner, frozenset())) for owner, operator in owners.items()]


def _call(
    situation: Situation,
    row: Replacement,
    calls: CallBuilder,
    new_mpc: Account,
    candidates: Sequence[Account],
) -> Call:
    query = situation.query
    report = LossReport(hash_bytes(query.id), query.generation, Account(row.lost), row.deadline)
    return calls.replace_mpc(
        report,
        opening_of(query, situation.participants),
        Account(row.reporter),
        bytes.fromhex(row.signature[2:]),
        new_mpc=new_mpc,
        seed_block=row.seed_block,
        candidates=candidates,
    )
