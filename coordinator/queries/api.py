"""Routes of queries, under /v1/queries. Each customer sees its own; others' do not exist for it."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, status
from sse_starlette import EventSourceResponse, ServerSentEvent

from coordinator.authorisation import Customer
from coordinator.context import Context, Ctx
from coordinator.errors import (
    Conflict,
    CoordinatorError,
    Forbidden,
    Missing,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from coordinator.problems import responses
from coordinator.queries import examples, service
from coordinator.quota import Quota
from coordinator.retries import PersistentRoute
from soterone.domain.ids import Account
from soterone.rest.base import HashText
from soterone.rest.queries import (
    Accepted,
    CancelRequest,
    FeedbackRequest,
    LaunchRequest,
    Proposal,
    ProposalRequest,
    QueryList,
    QueryView,
    ResultView,
)

router = APIRouter(prefix="/v1/queries", tags=["queries"], route_class=PersistentRoute)

QueryPath = Annotated[HashText, Path(description="The query's id.")]
_PAGE = 50


def _event_streams(request: Request) -> Quota:
    return cast(Quota, request.app.state.event_streams)


EventStreams = Annotated[Quota, Depends(_event_streams)]


def _answers(
    code: int, example: dict[str, Any], *kinds: type[CoordinatorError]
) -> dict[int | str, dict[str, Any]]:
    shown: dict[int | str, dict[str, Any]] = {code: {"content": {"application/json": {"example": example}}}}
    return {**responses(Unauthenticated, *kinds), **shown}


@router.post(
    "/proposals",
    status_code=status.HTTP_201_CREATED,
    responses=_answers(201, examples.ORDER, Missing, Conflict, TooMany, Unavailable),
)
async def propose(
    context: Ctx,
    customer: Customer,
    request: Annotated[
        ProposalRequest, Body(openapi_examples={"two hospitals": {"value": examples.PROPOSAL}})
    ],
) -> Proposal:
    """Judge a spec, reserve its nodes, ask each by its policy, and return the exact order to sign (EIP-712).

    It answers when every node has; a refusal says which node refused and why. Nothing runs until the order is signed.
    """
    return await service.propose(context, customer, request)


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses=_answers(202, examples.ACCEPTED, Missing, Forbidden, Conflict, Unavailable),
)
async def launch(
    context: Ctx,
    customer: Customer,
    request: Annotated[LaunchRequest, Body(openapi_examples={"signed": {"value": examples.LAUNCH}})],
) -> Accepted:
    """Take the signature of a proposed order and relay it to the chain. Sending the same again changes nothing."""
    return await service.launch(context, customer, request)


@router.get("", responses=responses(Unauthenticated, Missing))
async def list_queries(
    context: Ctx,
    customer: Customer,
    after: Annotated[HashText | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = _PAGE,
) -> QueryList:
    """List the caller's queries, newest first."""
    return await service.list_queries(context, customer, after, limit)


@router.get("/{query_id}", responses=responses(Unauthenticated, Missing))
async def show(context: Ctx, customer: Customer, query_id: QueryPath) -> QueryView:
    """Show one of the caller's queries."""
    return await service.show(context, customer, query_id)


@router.get(
    "/{query_id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": {"example": examples.EVENT}}},
        **responses(Unauthenticated, Missing, TooMany),
    },
)
async def events(
    context: Ctx,
    customer: Customer,
    streams: EventStreams,
    query_id: QueryPath,
    last_event_id: Annotated[int, Header(alias="Last-Event-ID", ge=0, lt=2**63)] = 0,
) -> EventSourceResponse:
    """Follow a query: everything from the start, or behind `Last-Event-ID`, then each new event as it comes.

    The data of each is a `QueryEvent`. The stream stays open; comments keep it alive.
    """
    streams.check(customer)
    await service.show(context, customer, query_id)
    ping_seconds = int(context.limits.event_heartbeat_seconds)
    return EventSourceResponse(
        _told(context, customer, streams, query_id, last_event_id),
        ping=ping_seconds,
        send_timeout=ping_seconds,
    )


async def _told(
    context: Context, customer: Account, streams: Quota, query_id: str, after: int
) -> AsyncIterator[ServerSentEvent]:
    with streams.hold(customer):
        async for event in service.events(context, customer, query_id, after):
            text = json.dumps(event.model_dump(mode="json"), separators=(",", ":"))
            yield ServerSentEvent(data=text, id=str(event.sequence))


@router.get("/{query_id}/result", responses=responses(Unauthenticated, Missing, Conflict))
async def result(context: Ctx, customer: Customer, query_id: QueryPath) -> ResultView:
    """Fetch the sealed shares of a completed query; only the holder of its result key can open them."""
    return await service.result(context, customer, query_id)


@router.post(
    "/{query_id}/cancel",
    status_code=status.HTTP_202_ACCEPTED,
    responses=_answers(202, examples.ACCEPTED, Missing, Forbidden, Conflict, Unavailable),
)
async def cancel(
    context: Ctx,
    customer: Customer,
    query_id: QueryPath,
    request: Annotated[CancelRequest, Body(openapi_examples={"dispatched": {"value": examples.CANCEL}})],
) -> Accepted:
    """Take a query back: at once while it is unsigned, by a signed Cancellation on chain once it is dispatched."""
    return await service.cancel(context, customer, query_id, request)


@router.post(
    "/{query_id}/feedback",
    status_code=status.HTTP_202_ACCEPTED,
    responses=_answers(202, examples.ACCEPTED, Missing, Forbidden, Conflict, Unavailable),
)
async def feedback(
    context: Ctx,
    customer: Customer,
    query_id: QueryPath,
    request: Annotated[FeedbackRequest, Body(openapi_examples={"two nodes": {"value": examples.FEEDBACK}})],
) -> Accepted:
    """Relay the customer's signed ratings to the chain, once a node, inside the window after the settlement."""
    return await service.give_feedback(context, customer, query_id, request)
