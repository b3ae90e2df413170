"""What an audit found: each check with its figure and every contradiction as a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from soterone.domain.ids import Account, QueryId

Subject = Account | QueryId
"""What a contradiction is about: a node, a customer or a query."""


class AnchorKind(StrEnum):
    """Who besides the RPC confirms the block that was audited."""

    SECOND_RPC = "second rpc"
    PINNED_HASH = "pinned hash"
    CHECKPOINT = "checkpoint"
    UNANCHORED = "unanchored"


@dataclass(frozen=True, slots=True)
class Anchor:
    """`block` is the height up to which somebody else confirms the chain, None when nobody does."""

    kind: AnchorKind = AnchorKind.UNANCHORED
    block: int | None = None

    def sentence(self, last_block: int) -> str:
        """Say what a reader may conclude, for an audit up to `last_block`."""
        if self.block is None:
            return "unanchored: nobody but this RPC confirms the audited block; name --second-rpc or --block-hash"
        if self.block < last_block:
            return f"anchored by {self.kind} up to block {self.block}, unanchored after it"
        return f"anchored by {self.kind}: block {self.block} is confirmed"


@dataclass(frozen=True, slots=True)
class Finding:
    """A contradiction; `subjects` are those it is about, none when it is about the chain as a whole."""

    sentence: str
    subjects: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One question put to the chain; it passed when nothing contradicts. `examined` counts what was compared, `note`
    says what could not be."""

    name: str
    examined: int
    findings: tuple[Finding, ...] = ()
    note: str = ""

    @property
    def contradictions(self) -> tuple[str, ...]:
        """The findings as sentences."""
        return tuple(one.sentence for one in self.findings)

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about: one query, one node, or everything when both are None."""

    query: QueryId | None = None
    node: Account | None = None

    def covers(self, *subjects: Subject) -> bool:
        """Whether something about these subjects belongs into the report; what is about nobody concerns everybody."""
        return self.everything or not subjects or self.query in subjects or self.node in subjects

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.query is None and self.node is None


@dataclass(frozen=True, slots=True)
class Step:
    """One event in the life of what the report is about; `time` in seconds since 1970."""

    event: str
    block: int
    time: int
    transaction: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the plots show. `daily`: events by name and day (days since 1970); `scores`: today's, 0 to 1, by node;
    `statuses`: queries by how they stand; `history`: (time in seconds, score 0 to 1) of the node asked for."""

    daily: dict[int, dict[str, int]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    history: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one chain up to one block. `first_block` is where reading began: behind the checkpoint, if any.
    `events` counts all that the audit stands on, `new_events` those read this time."""

    chain_id: int
    first_block: int
    last_block: int
    last_block_hash: str
    events: int
    new_events: int
    anchor: Anchor
    scope: Scope
    checks: tuple[Check, ...]
    steps: tuple[Step, ...] = ()
    figures: Figures = Figures()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def anchored(self) -> bool:
        """Whether somebody else confirms the very block that was audited."""
        return self.anchor.block is not None and self.anchor.block >= self.last_block


def scoped(checks: Sequence[Check], scope: Scope) -> tuple[Check, ...]:
    """Leave out the findings that are about others than the scope."""
    return tuple(
        Check(one.name, one.examined, tuple(f for f in one.findings if scope.covers(*f.subjects)), one.note)
        for one in checks
    )
