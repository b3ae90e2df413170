"""Proposals: a query is judged, its nodes are reserved and asked, and the exact order to sign comes out."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.crypto import keccak
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.context import Context
from coordinator.database import exclusive
from coordinator.models.nodes import Node
from coordinator.models.queries import Offer, OfferState, Participant, Query
from coordinator.nodes import repository as nodes
from coordinator.queries import offers, repository, selection
from coordinator.queries.errors import NotEnoughNodes, OfferRefused, TooManyOpenQueries
from coordinator.queries.orders import ascending, order_body, order_of
from coordinator.queries.selection import Standing
from coordinator.queries.validation import check_result_key, check_spec
from coordinator.resources import service as resources
from coordinator.resources.demand import Demand, mpc_demand, owner_demand
from coordinator.wakeups import Topic
from soterone.crypto.messages import query_id_of
from soterone.domain.ids import Account, QueryId, hash32
from soterone.domain.lifecycle import Stage
from soterone.domain.metadata import DatasetMetadata
from soterone.domain.roles import Role, pack_version
from soterone.domain.spec import QuerySpec
from soterone.rest.queries import Proposal, ProposalRequest

_ANSWER_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Draft:
    """A proposal before it has nodes. `order_time` is the later of the database's and the chain's clock."""

    customer: Account
    request: ProposalRequest
    standing: Mapping[Account, Standing]
    order_time: float

    @property
    def spec(self) -> QuerySpec:
        return self.request.spec


@dataclass(frozen=True, slots=True)
class _Trio:
    """The nodes of one try, with what each is to give."""

    owners: Mapping[Account, Node]
    mpcs: Mapping[Account, Node]
    datasets: Mapping[Account, str]
    demands: Mapping[str, Demand]


async def propose(context: Context, customer: Account, request: ProposalRequest) -> Proposal:
    """Judge, reserve, ask, and return the order to sign.

    Drawn MPC nodes that refuse or keep silent are replaced a few times, each time under a new query id. Errors:
    every refusal of `coordinator.queries.errors` that a proposal can meet, NodeFull.
    """
    check_result_key(bytes.fromhex(request.result_key[2:]))
    draft = await _draft(context, customer, request)
    unwilling: dict[Account, str] = {}
    for _ in range(context.limits.proposal_tries):
        try:
            query_id = await _reserve(context, draft, unwilling)
        except NotEnoughNodes as shortage:
            raise _with_refusals(shortage, unwilling) from shortage
        refusal = await _ask(context, query_id)
        if refusal is None:
            return await _accepted(context, query_id)
        node, sentence = refusal
        if request.spec.mpc.nodes or not await _was_drawn(context, draft, node):
            raise OfferRefused(sentence)
        unwilling[node] = sentence
    raise NotEnoughNodes(f"too many MPC nodes refused; the last one said: {sentence}")


def _with_refusals(shortage: NotEnoughNodes, unwilling: Mapping[Account, str]) -> NotEnoughNodes:
    return NotEnoughNodes("; ".join([shortage.said, *unwilling.values()]))


async def _draft(context: Context, customer: Account, request: ProposalRequest) -> _Draft:
    async with context.database.reading() as session:
        known = await repository.known_datasets(session, request.spec.datasets)
        check_spec(request.spec, known)
        wanted = pack_version(request.spec.mpc.minimum_version)
        online = await nodes.online(session, Role.MPC_NODE, wanted)
        now = await repository.now(session)
    drawing = () if request.spec.mpc.nodes else [Account(one.account) for one in online]
    standing = await selection.standings(context.chain, drawing)
    head = await context.chain.head()
    return _Draft(customer, request, standing, max(now, head.timestamp))


async def _reserve(context: Context, draft: _Draft, unwilling: Mapping[Account, str]) -> QueryId:
    """Write query, participants, reservations and offers in one transaction."""
    async with context.database.transaction() as session:
        await exclusive(session, f"proposals of {draft.customer}")
        await _check_flood(context, session, draft.customer)
        trio = await _trio(session, draft, unwilling)
        salt = secrets.token_bytes(32)
        query_id = query_id_of(context.domain("QueryLedger"), draft.customer, salt)
        held_seconds = context.limits.signing_seconds + context.limits.offer_seconds
        session.add(await _row(context, session, draft, query_id, salt, held_seconds))
        await session.flush()
        session.add_all(_participants(query_id, trio))
        await resources.reserve(session, query_id, trio.demands, held_seconds)
        await offers.ask(session, query_id, sorted(trio.demands), held_seconds)
        await repository.add_event(session, query_id, Stage.PROPOSED, {"nodes": sorted(trio.demands)})
    context.wakeups.notify(Topic.OFFERS)
    return query_id


async def _check_flood(context: Context, session: AsyncSession, customer: Account) -> None:
    limits = context.limits
    unsigned = await repository.count_of_customer(session, customer, repository.UNSIGNED)
    if unsigned >= limits.open_proposals_per_customer:
        raise TooManyOpenQueries(
            f"you have {unsigned} proposals open; sign or cancel them, or wait until they lapse"
        )
    running = await repository.count_of_customer(session, customer, repository.RUNNING)
    if running >= limits.running_queries_per_customer:
        raise TooManyOpenQueries(f"you have {running} queries running; wait until one has ended")


async def _trio(session: AsyncSession, draft: _Draft, unwilling: Mapping[Account, str]) -> _Trio:
    known = await repository.known_datasets(session, draft.spec.datasets)
    tables = check_spec(draft.spec, known)
    owners = await selection.owners_of(session, known)
    demand = mpc_demand(tables.values())
    if draft.spec.mpc.nodes:
        mpcs = await selection.named_nodes(session, draft.spec, owners)
    else:
        unwanted = {*owners, *unwilling}
        mpcs = await selection.drawn_nodes(session, draft.spec, draft.standing, unwanted, demand)
    datasets = {known[dataset].owner: dataset for dataset in tables}
    return _Trio(owners, mpcs, datasets, _demands(datasets, tables, mpcs, demand))


def _demands(
    datasets: Mapping[Account, str],
    tables: Mapping[str, DatasetMetadata],
    mpcs: Mapping[Account, Node],
    demand: Demand,
) -> dict[str, Demand]:
    of_owners: dict[str, Demand] = {owner: owner_demand(tables[table]) for owner, table in datasets.items()}
    return of_owners | dict.fromkeys(mpcs, demand)


async def _row(
    context: Context,
    session: AsyncSession,
    draft: _Draft,
    query_id: QueryId,
    salt: bytes,
    held_seconds: float,
) -> Query:
    now = await repository.now(session)
    timers = draft.request.timers
    return Query(
        id=query_id,
        customer=draft.customer,
        name=draft.spec.name,
        status=Stage.PROPOSED,
        spec_json=draft.spec.canonical().decode(),
        spec_hash=draft.spec.hash,
        result_key=draft.request.result_key.lower(),
        result_key_hash=hash32(keccak(bytes.fromhex(draft.request.result_key[2:]))),
        salt=hash32(salt),
        max_run_seconds=timers.max_run_seconds,
        result_retry_seconds=timers.result_retry_seconds,
        cleanup_grace_seconds=timers.cleanup_grace_seconds,
        max_replacements=timers.max_replacements,
        order_deadline=int(draft.order_time) + 2 * context.limits.signing_seconds,
        created_at=now,
        expires_at=now + held_seconds,
        due_at=now + held_seconds,
    )


def _participants(query_id: QueryId, trio: _Trio) -> list[Participant]:
    return [
        Participant(
            query_id=query_id,
            account=account,
            role=role,
            rank=rank,
            operator=members[account].operator,
            datasets_json=json.dumps([trio.datasets[account]] if role is Role.DATA_OWNER else []),
        )
        for role, members in ((Role.DATA_OWNER, trio.owners), (Role.MPC_NODE, trio.mpcs))
        for rank, account in enumerate(ascending(list(members)))
    ]


async def _ask(context: Context, query_id: QueryId) -> tuple[Account, str] | None:
    """Wait for all answers; the first refusal, after everything was taken back, or None when no node refused."""
    try:
        refusal = await _first_refusal(context, query_id)
    except BaseException:
        await asyncio.shield(_withdraw(context, query_id))
        raise
    if refusal is not None:
        await _withdraw(context, query_id)
    return refusal


async def _first_refusal(context: Context, query_id: QueryId) -> tuple[Account, str] | None:
    until = asyncio.get_running_loop().time() + context.limits.offer_seconds
    with context.wakeups.listen(Topic.ANSWERS) as bell:
        while True:
            async with context.database.reading() as session:
                asked = await offers.states(session, query_id)
            if not any(offer.state in (OfferState.ASKED, OfferState.REFUSED) for offer in asked):
                return None
            left = until - asyncio.get_running_loop().time()
            refusal = _refusal(asked, left <= 0, context.limits.offer_seconds)
            if refusal is not None:
                return refusal
            await bell.wait(min(_ANSWER_POLL_SECONDS, left))


def _refusal(asked: list[Offer], late: bool, offer_seconds: float) -> tuple[Account, str] | None:
    for offer in asked:
        if offer.state == OfferState.REFUSED:
            said = offer.sentence or "its policy does not allow this query"
            return Account(offer.node), f"node {offer.node} refused the query: {said}"
    for offer in asked:
        if late and offer.state == OfferState.ASKED:
            return Account(offer.node), (
                f"node {offer.node} did not answer within {offer_seconds:g} s; try again later or choose others"
            )
    return None


async def _withdraw(context: Context, query_id: QueryId) -> None:
    """Take a proposal that nobody saw back: nothing of it stays but the releases that nodes must hear."""
    async with context.database.transaction() as session:
        await forget(session, query_id)
    context.wakeups.notify(Topic.OFFERS)


async def forget(session: AsyncSession, query_id: str) -> None:
    """Delete an unsigned proposal, free its reservations and release its offers."""
    await repository.get(session, query_id, lock=True)
    await offers.release(session, query_id)
    await resources.release(session, query_id)
    await session.execute(delete(Query).where(col(Query.id) == query_id))


async def _was_drawn(context: Context, draft: _Draft, node: Account) -> bool:
    async with context.database.reading() as session:
        known = await repository.known_datasets(session, draft.spec.datasets)
    return node not in {one.owner for one in known.values()}


async def _accepted(context: Context, query_id: QueryId) -> Proposal:
    async with context.database.transaction() as session:
        query = await repository.get(session, query_id, lock=True)
        if query is None or query.status != Stage.PROPOSED:
            raise OfferRefused(
                "the proposal was taken back while its nodes were asked; propose the query again"
            )
        query.status = Stage.RESERVED
        participants = await repository.participants_of(session, query_id)
        await repository.add_event(session, query_id, Stage.RESERVED)
        expires_in_seconds = int(query.expires_at - await repository.now(session))
        order = order_of(query, participants)
    context.wakeups.notify(Topic.QUERIES)
    return Proposal(query_id=query_id, order=order_body(order), expires_in_seconds=max(0, expires_in_seconds))
