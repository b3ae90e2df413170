"""What a coordinator tells of how scores came about, beside the steps that the chain's events give. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from soterone.audit.differences import Span
from soterone.audit.history import History
from soterone.audit.report import Finding
from soterone.chain.events import Event, ReputationUpdated
from soterone.chain.reputation_history import CLAIMS, JUDGEMENTS, STEPS, UnexplainedUpdateError, steps_of
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId
from soterone.domain.reputation_book import NO_QUERY
from soterone.rest.catalog import ReputationStep, ReputationView

_MOST_SHOWN = 100
"""So many steps a coordinator shows at once, the newest."""


@dataclass(slots=True)
class StepsKnown:
    """The events of a whole history by the node that they move, and what was judged by query."""

    times: dict[int, int]
    events: dict[Account, list[Event]] = field(default_factory=lambda: defaultdict(list))
    judgements: dict[QueryId, list[Event]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, history: History, span: Span) -> "StepsKnown":
        """Sort a history up to the end of a span, in one pass."""
        known = cls({number: header.block.timestamp for number, header in history.headers.items()})
        for event in history.events:
            if event.position.block_number > span.last.number:
                break
            if isinstance(event, (*STEPS, *CLAIMS)):
                known.events[event.node].append(event)  # type: ignore[attr-defined]
            elif isinstance(event, JUDGEMENTS):
                known.judgements[event.query_id].append(event)  # type: ignore[attr-defined]
        return known

    def newest(self, node: Account) -> tuple[ReputationStep, ...]:
        """The last steps of a node, newest first; UnexplainedUpdateError when a cause is missing."""
        own = self.events.get(node, [])
        queries = {one.query_id for one in own if isinstance(one, ReputationUpdated)} - {NO_QUERY}
        causes = [one for query in queries for one in self.judgements.get(query, [])]
        steps = steps_of(node, [*own, *causes], self.times)
        return tuple(ReputationStep.of(one) for one in reversed(steps[-_MOST_SHOWN:]))


def compare_steps(views: Collection[ReputationView], known: StepsKnown, span: Span) -> Iterator[Finding]:
    """Name every step that a coordinator invents or keeps back; those of the span it may not know yet."""
    for view in views:
        node = account(view.account)
        try:
            steps = known.newest(node)
        except UnexplainedUpdateError as error:
            yield Finding(str(error), (node,))
            continue
        for sentence in _differences(view, steps, span):
            yield Finding(f"{node}: the coordinator {sentence}", (node,))


def _differences(view: ReputationView, known: tuple[ReputationStep, ...], span: Span) -> Iterator[str]:
    told = [one for one in view.history if one.block <= span.last.number]
    oldest = known[-1].block if len(known) == _MOST_SHOWN else 0
    for step in told:
        if step.block >= oldest and step not in known:
            yield f"shows {_words(step)}, the chain has no such step"
    for step in known:
        if step.block <= span.first.number and step not in told:
            yield f"keeps back {_words(step)}"


def _words(step: ReputationStep) -> str:
    moved = "" if step.score is None else f" to {step.score / 1e9:.9f}"
    return f"a step ({step.cause}){moved} in block {step.block}"
