"""What a report tells besides its checks: the steps of the query or node asked for, and the figures of the plots."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from functools import partial
from typing import Any

from soterone.audit.headers import headers_at
from soterone.audit.history import History
from soterone.audit.replay import Replay
from soterone.audit.report import Figures, Scope, Step
from soterone.chain.client import ChainClient
from soterone.chain.events import Event, ReputationUpdated
from soterone.chain.log_ranges import LogRanges


async def steps_of(chain: ChainClient, scope: Scope, history: History, first_block: int) -> tuple[Step, ...]:
    """Return every event that names the query or the node, in order; none when the report is about everything.

    What lies before the history, behind a checkpoint, is asked for by its topic.
    """
    if scope.everything:
        return ()
    subject = scope.query or scope.node
    about = partial(chain.events_about, [subject] if subject else [])
    earlier: list[Event] = await LogRanges().read_all(first_block, history.first_block - 1, about)
    events = [*earlier, *(one for one in history.events if _names(one, scope))]
    heights = sorted({one.position.block_number for one in earlier} - history.headers.keys())
    headers = {**history.headers, **await headers_at(chain, heights)}
    return tuple(_step(one, headers[one.position.block_number].block.timestamp) for one in events)


def figures_of(replay: Replay, steps: Sequence[Step], now: int) -> Figures:
    """Return the figures as of a time (seconds)."""
    book = replay.scores.book
    return Figures(
        daily={day: dict(counted) for day, counted in sorted(replay.daily.items())},
        scores={node: book.score_of(node, now) / 1e9 for node in sorted(book.records)},
        statuses=dict(Counter(one.status.name.lower() for one in replay.lifecycles.queries.values())),
        history=tuple(
            (one.time, one.details["score"] / 1e9) for one in steps if one.event == ReputationUpdated.__name__
        ),
    )


def _names(event: Event, scope: Scope) -> bool:
    subject = scope.query or scope.node
    return any(getattr(event, one.name) == subject for one in fields(event))


def _step(event: Event, time: int) -> Step:
    details = {one.name: _plain(getattr(event, one.name)) for one in fields(event) if one.name != "position"}
    position = event.position
    return Step(type(event).__name__, position.block_number, time, position.transaction_hash, details)


def _plain(value: Any) -> Any:
    """A value as JSON may hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, int | str | bool) else str(value)
