"""What became of one cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scripts.chaos.cells import Cell


class Verdict(StrEnum):
    """`LOST`: accepted and gone, or its result does not open. `DOUBLED`: something happened twice that may once.
    `STUCK`: no end, or not cleaned up, in time. `WRONG`: it ended, but not as it should, or the parties disagree.
    `MISSED`: the query was over, or failed, before the fault; nothing was shown. `SKIPPED`: cannot be run here."""

    OK = "ok"
    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"
    WRONG = "wrong"
    MISSED = "missed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is not as it should be."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds after the fault, None where it did not happen: the broken being back, replacement on chain, training
    after that, the end."""

    away: float | None = None
    replaced: float | None = None
    training: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell's result; `end` in words, such as `completed in generation 1`."""

    cell: Cell
    end: str = ""
    times: Times = field(default_factory=Times)
    complaints: tuple[Complaint, ...] = ()
    skipped: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The gravest of the complaints."""
        if self.skipped:
            return Verdict.SKIPPED
        found = {complaint.verdict for complaint in self.complaints}
        gravest = (Verdict.LOST, Verdict.DOUBLED, Verdict.STUCK, Verdict.WRONG, Verdict.MISSED)
        return next((verdict for verdict in gravest if verdict in found), Verdict.OK)
