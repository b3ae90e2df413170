"""Signed wishes of customers: launching, cancelling and rating, checked here first and by the contracts again."""

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.models.queries import Participant, Query
from coordinator.queries import repository
from coordinator.queries.errors import (
    AlreadyEnded,
    ChainAway,
    FeedbackRefused,
    NotYet,
    OrderExpired,
    SpecDoesNotFit,
    UnknownQuery,
    WrongSignature,
)
from coordinator.queries.lapses import lapse
from coordinator.queries.orders import opening_of, order_of
from coordinator.queries.refusals import sentence_of
from coordinator.resources import service as resources
from coordinator.signatures import signed_by
from coordinator.wakeups import Topic
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.errors import ChainUnreachableError, RevertedError, RpcError
from soterone.chain.outbox import RowState
from soterone.crypto.accounts import account as checksummed
from soterone.crypto.messages import Cancellation, Feedback, Message, digest
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.lifecycle import Announcement, Stage
from soterone.rest.queries import Accepted, CancelRequest, FeedbackRequest, LaunchRequest

FEEDBACK = "feedback"


async def launch(context: Context, customer: Account, request: LaunchRequest) -> Accepted:
    """Take the customer's signature of the stored order and send it to the chain; the same again is harmless."""
    query, participants = await _own(context, customer, request.query_id)
    signature = bytes.fromhex(request.signature[2:])
    _check_launchable(query)
    order = order_of(query, participants)
    await _check_signature(context, "QueryLedger", order, customer, signature)
    call = _calls(context).dispatch(order, signature)
    if not query.signature:
        await _check_open(context, query)
        await _rehearse(context, call, OrderExpired)
    async with context.database.transaction() as session:
        query = await _locked(session, customer, request.query_id)
        _check_launchable(query)
        if not query.signature:
            await _sign(session, query, request.signature, call)
    context.wakeups.notify(Topic.OUTBOX, Topic.QUERIES)
    return Accepted(query_id=query.id, status=Stage(query.status).value)


async def _sign(session: AsyncSession, query: Query, signature: str, call: Call) -> None:
    query.signature = signature.lower()
    query.signed_at = await repository.now(session)
    await resources.keep(session, query.id)
    await outbox.enqueue(session, outbox.key(query.id, Announcement.DISPATCH), call)
    await repository.add_event(session, query.id, "signed")
    await repository.wake(session, query)


def _check_launchable(query: Query) -> None:
    if query.status == Stage.PROPOSED:
        raise NotYet("the nodes of this proposal have not all answered yet; wait for the proposal's answer")
    if not Stage(query.status).terminal:
        return
    if query.dispatched_at is not None:
        raise AlreadyEnded(
            f"this order was carried out already (query {query.status}); an order works once, propose the query anew"
        )
    raise OrderExpired(
        f"this order cannot be launched any more: {query.failure_sentence} Propose the query anew."
    )


async def _check_open(context: Context, query: Query) -> None:
    if await context.database.now() >= query.expires_at:
        raise OrderExpired("the proposal has lapsed, its nodes are free again; propose the query anew")


async def cancel(context: Context, customer: Account, request_id: str, request: CancelRequest) -> Accepted:
    """End a query: at once while it is unsigned, by the customer's signed Cancellation on chain afterwards."""
    async with context.database.transaction() as session:
        query = await _locked(session, customer, request_id)
        if query.status == Stage.CANCELLED:
            return Accepted(query_id=query.id, status="cancelled")
        if not query.signature and not Stage(query.status).terminal:
            await lapse(session, query, Stage.CANCELLED, "The customer cancelled the proposal.")
        participants = await repository.participants_of(session, query.id)
    if query.status != Stage.CANCELLED:
        await _cancel_on_chain(context, customer, query, participants, request)
    context.wakeups.notify(Topic.OUTBOX, Topic.OFFERS, Topic.ANSWERS, Topic.QUERIES)
    return Accepted(query_id=query.id, status=Stage(query.status).value)


async def _cancel_on_chain(
    context: Context,
    customer: Account,
    query: Query,
    participants: list[Participant],
    request: CancelRequest,
) -> None:
    if Stage(query.status).terminal:
        raise AlreadyEnded(f"the query has {query.status} already, so there is nothing to cancel")
    if query.dispatched_at is None:
        raise NotYet("the order is on its way to the chain; cancel it in a moment, once it is dispatched")
    message = Cancellation(hash_bytes(query.id), request.deadline)
    signature = bytes.fromhex(request.signature[2:])
    await _check_signature(context, "QueryLedger", message, customer, signature)
    call = _calls(context).cancel(message, opening_of(query, participants), signature)
    await _rehearse(context, call, OrderExpired)
    async with context.database.transaction() as session:
        await _locked(session, customer, query.id)
        key = outbox.key(query.id, Announcement.CANCEL, query.generation)
        if await outbox.enqueue_anew(session, key, call):
            await repository.add_event(session, query.id, "cancel-requested")


async def give_feedback(
    context: Context, customer: Account, query_id: str, request: FeedbackRequest
) -> Accepted:
    """Relay the customer's signed ratings of nodes of an ended query; the same again is harmless."""
    if len(request.nodes) != len(request.ratings):
        raise SpecDoesNotFit("nodes and ratings must have the same length, one rating a node")
    query, participants = await _own(context, customer, query_id)
    nodes = tuple(checksummed(node) for node in request.nodes)
    _check_rated(query, participants, nodes, request.ratings)
    message = Feedback(hash_bytes(query.id), nodes, tuple(request.ratings), request.deadline)
    signature = bytes.fromhex(request.signature[2:])
    await _check_signature(context, "ReputationLedger", message, customer, signature)
    call = _calls(context).give_feedback(message, opening_of(query, participants), signature)
    async with context.database.reading() as session:
        sent = await _feedback_sent(session, query.id, call)
    if not sent:
        await _rehearse(context, call, FeedbackRefused)
        async with context.database.transaction() as session:
            await _locked(session, customer, query.id)
            if not await _feedback_sent(session, query.id, call):
                number = await _feedback_count(session, query.id)
                await outbox.enqueue(session, outbox.key(query.id, FEEDBACK, number), call)
                await repository.add_event(session, query.id, "feedback-requested", {"nodes": list(nodes)})
    context.wakeups.notify(Topic.OUTBOX, Topic.QUERIES)
    return Accepted(query_id=query.id, status=Stage(query.status).value)


def _check_rated(
    query: Query, participants: list[Participant], nodes: tuple[Account, ...], ratings: list[int]
) -> None:
    if not Stage(query.status).terminal or query.dispatched_at is None:
        raise NotYet("only a query that ran and has ended can be rated; wait for its end")
    if query.settled_at is None:
        raise NotYet("the query is not settled on chain yet; rate its nodes in a moment")
    operators = {one.account: one.operator for one in participants}
    for node, rating in zip(nodes, ratings, strict=True):
        if node not in operators:
            raise FeedbackRefused(f"node {node} took no part in this query; rate its participants only")
        if query.customer in (node, operators[node]):
            raise FeedbackRefused(f"node {node} is your own; nobody rates itself")
        if not 0 <= rating <= 100:
            raise SpecDoesNotFit(f"a rating is 0 to 100 percent, not {rating}")
    if len(set(nodes)) != len(nodes):
        raise SpecDoesNotFit("a node is rated twice in this feedback; rate each node once")


async def _feedback_sent(session: AsyncSession, query_id: str, call: Call) -> bool:
    rows = await outbox.rows_of(session, query_id)
    sent = [row for row in rows if row.action == FEEDBACK and row.state != RowState.REVERTED]
    return any(row.data == call.data for row in sent)


async def _feedback_count(session: AsyncSession, query_id: str) -> int:
    return sum(row.action == FEEDBACK for row in await outbox.rows_of(session, query_id))


async def _own(context: Context, customer: Account, query_id: str) -> tuple[Query, list[Participant]]:
    async with context.database.reading() as session:
        query = await repository.get(session, query_id)
        if query is None or query.customer != customer:
            raise UnknownQuery(query_id)
        return query, await repository.participants_of(session, query_id)


async def _locked(session: AsyncSession, customer: Account, query_id: str) -> Query:
    query = await repository.get(session, query_id, lock=True)
    if query is None or query.customer != customer:
        raise UnknownQuery(query_id)
    return query


async def _check_signature(
    context: Context, contract: str, message: Message, customer: Account, signature: bytes
) -> None:
    domain = context.domain(contract)
    try:
        valid = await signed_by(context.chain, customer, digest(domain, message), signature)
    except (ChainUnreachableError, RpcError) as error:
        raise ChainAway(f"the signature could not be checked: {error}") from error
    if not valid:
        raise WrongSignature(
            f"this is not {customer}'s signature over exactly this {type(message).__name__} for contract "
            f"{domain.contract} on chain {domain.chain_id}; sign what was proposed, with your account, for that chain"
        )


async def _rehearse(
    context: Context, call: Call, refusal: type[OrderExpired] | type[FeedbackRefused]
) -> None:
    try:
        await context.chain.simulate(call, context.coordinator)
    except RevertedError as error:
        raise refusal(sentence_of(error)) from error
    except (ChainUnreachableError, RpcError) as error:
        raise ChainAway(str(error)) from error


def _calls(context: Context) -> CallBuilder:
    return CallBuilder(context.chain.contracts.addresses)
