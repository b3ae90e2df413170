"""Queries as their customers see them: rows become REST bodies. Pure."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from coordinator.models.queries import Participant, Query, QueryEventRow
from soterone.domain.failures import FailureReason
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role
from soterone.domain.spec import QuerySpec
from soterone.rest.queries import Failure, ParticipantView, QueryEvent, QueryView


def query_view(query: Query, participants: Sequence[Participant]) -> QueryView:
    """Return a query with its participants."""
    return QueryView(
        id=query.id,
        name=query.name,
        status=Stage(query.status).value,
        cleaned_up=query.cleaned_up,
        generation=query.generation,
        spec=None if query.is_restored else QuerySpec.model_validate_json(query.spec_json),
        spec_hash=query.spec_hash,
        participants=[_participant(one) for one in participants if one.lost_generation is None],
        failure=failure_of(query),
        result_hash=query.result_hash,
        created_at=timestamp(query.created_at),
        dispatched_tx=query.dispatched_tx,
    )


def failure_of(query: Query) -> Failure | None:
    """Return why a query failed, None while it has not."""
    if query.failure_reason is None:
        return None
    sentence = query.failure_sentence
    if not sentence:
        sentence = (
            FailureReason(query.failure_reason).sentence if query.failure_reason else "The order lapsed."
        )
    return Failure(reason=query.failure_reason, sentence=sentence, node=query.failure_node)


def query_event(row: QueryEventRow) -> QueryEvent:
    """Return one event of the audit trail."""
    return QueryEvent(
        sequence=row.sequence, kind=row.kind, at=timestamp(row.at), data=json.loads(row.data_json)
    )


def timestamp(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _participant(participant: Participant) -> ParticipantView:
    return ParticipantView(
        account=participant.account,
        role="data owner" if participant.role == Role.DATA_OWNER else "mpc node",
        phase=participant.phase,
        fraction=participant.fraction,
        detail=participant.detail,
    )
