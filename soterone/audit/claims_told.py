"""What a coordinator tells of claims and of measured capacity, beside what the chain gives. Pure.

It may be some blocks behind: whatever was true at some moment of the span is believed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from soterone.audit.asking import Told
from soterone.audit.differences import Span, different
from soterone.audit.history import History
from soterone.audit.lifecycles import CLOCK_TOLERANCE_SECONDS
from soterone.audit.report import Finding
from soterone.chain.claim_history import (
    CLAIM_EVENTS,
    MEASUREMENT_STANDS_SECONDS,
    Measured,
    StandingClaim,
    claims_of,
    measured_by,
)
from soterone.chain.events import Event
from soterone.crypto.accounts import account
from soterone.domain.ids import Account
from soterone.domain.profiles import REFERENCE_CORE_SPEED, reference_cores
from soterone.rest.catalog import ClaimView, NodeEntry

_MOST_SHOWN = 100
"""So many claims of a node a coordinator shows, the newest."""


@dataclass(slots=True)
class ClaimsKnown:
    """The claims against each node, oldest first, as they stood at each moment of a span, the earliest first."""

    moments: dict[Account, list[tuple[StandingClaim, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, history: History, span: Span) -> "ClaimsKnown":
        """Fold a history that reaches back to the first block."""
        by_node = defaultdict[Account, list[Event]](list)
        for event in history.events:
            if isinstance(event, CLAIM_EVENTS) and event.position.block_number <= span.last.number:
                by_node[event.node].append(event)  # type: ignore[attr-defined]
        times = {number: header.block.timestamp for number, header in history.headers.items()}
        return cls({node: list(_moments(events, times, span)) for node, events in by_node.items()})

    def at_first(self, node: Account) -> tuple[StandingClaim, ...]:
        """The claims against a node when the span began."""
        return self.moments.get(node, [()])[0]

    def versions(self, node: Account) -> dict[str, list[ClaimView]]:
        """Every claim against a node by id, in all the ways in which it stood."""
        found = defaultdict[str, list[ClaimView]](list)
        for claims in self.moments.get(node, []):
            for one in claims:
                found[one.claim_id].append(ClaimView.of(one))
        return found

    def measured(self, node: Account, span: Span) -> set[Measured | None]:
        """What was measured of a node and stood at some moment; clocks may differ."""
        since = span.first.timestamp, span.last.timestamp
        old = since[0] - CLOCK_TOLERANCE_SECONDS, since[1] + CLOCK_TOLERANCE_SECONDS
        return {
            measured_by(claims, time - MEASUREMENT_STANDS_SECONDS)
            for claims in self.moments.get(node, [()])
            for time in old
        }


def compare_claims(told: Told, known: ClaimsKnown, span: Span) -> Iterator[Finding]:
    """Name every claim that a coordinator invents, keeps back or changes."""
    for node in sorted(told.claims.keys() | known.moments.keys()):
        shown = [one for one in told.claims.get(node, ()) if one.block <= span.last.number]
        yield from _invented_or_changed(node, shown, known.versions(node))
        yield from _kept_back(node, told.claims.get(node, ()), known.at_first(node))


def compare_capacity(told: Sequence[NodeEntry], known: ClaimsKnown, span: Span) -> Iterator[Finding]:
    """Name every capacity that is not the lower of what a node declared and what detectors measured."""
    for entry in told:
        node = account(entry.account)
        allowed: set[object] = {_verified(entry, one) for one in known.measured(node, span)}
        shown = (entry.verified_cpu_cores, entry.verified_memory_bytes, entry.measured_in)
        yield from different(
            f"{node}", {"verified capacity (cores, bytes, by claim)": (shown, allowed)}, node
        )


def _moments(
    events: Sequence[Event], times: Mapping[int, int], span: Span
) -> Iterator[tuple[StandingClaim, ...]]:
    before = sum(one.position.block_number <= span.first.number for one in events)
    for count in range(before, len(events) + 1):
        yield claims_of(events[:count], times)


def _invented_or_changed(
    node: Account, shown: Sequence[ClaimView], versions: Mapping[str, Sequence[ClaimView]]
) -> Iterator[Finding]:
    for claim in shown:
        known = versions.get(claim.claim_id, ())
        what = f"claim {claim.claim_id} against {node}"
        if not known:
            yield Finding(f"{what}: the coordinator shows it, the chain has no such claim", (node,))
        elif claim not in known:
            pairs: dict[str, tuple[object, set[object]]] = {
                name: (getattr(claim, name), {getattr(one, name) for one in known})
                for name in ClaimView.model_fields
            }
            named = list(different(what, pairs, node))
            yield from named or [Finding(f"{what}: the coordinator tells of it as it never stood", (node,))]


def _kept_back(
    node: Account, shown: Sequence[ClaimView], known: Sequence[StandingClaim]
) -> Iterator[Finding]:
    present = {one.claim_id for one in shown}
    oldest = min((one.block for one in shown), default=0) if len(shown) >= _MOST_SHOWN else 0
    for claim in known:
        if claim.claim_id not in present and claim.position.block_number >= oldest:
            yield Finding(f"{node}: the coordinator keeps back claim {claim.claim_id}", (node,))


def _verified(entry: NodeEntry, measured: Measured | None) -> tuple[int, int, str | None]:
    cores = reference_cores(entry.cpu_cores, entry.core_speed or REFERENCE_CORE_SPEED)
    if measured is None:
        return cores, entry.memory_bytes, None
    limit = measured.measurement
    cores = min(cores, reference_cores(limit.cores, limit.speed))
    return cores, min(entry.memory_bytes, limit.memory_bytes), measured.claim_id
