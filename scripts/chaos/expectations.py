"""How a cell may end, said before it runs. Pure: the rules of the design, and nothing learned from a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scripts.chaos.cells import Cell, Fault, State, Victim
from soterone.domain.failures import FailureReason

CRASHED, SHARE_MISSED, DID_ITS_PART = 0, 50, 100


@dataclass(frozen=True, slots=True)
class End:
    """One way to end that tells the truth. `observed` are the percents that the victims may be settled with."""

    status: Literal["completed", "failed"]
    generation: int = 0
    reason: FailureReason | None = None
    observed: frozenset[int] = frozenset({DID_ITS_PART})


_UNTOUCHED = End("completed")
_WITHOUT_ITS_SHARE = End("completed", observed=frozenset({DID_ITS_PART, SHARE_MISSED}))
_REPLACED = End("completed", generation=1, observed=frozenset({CRASHED}))
_REPLACED_WITHOUT_BLAME = End("completed", generation=1)
_BOTH_REPLACED = End("completed", generation=2, observed=frozenset({CRASHED}))
_OWNER_LOST = End("failed", reason=FailureReason.OWNER_LOST, observed=frozenset({CRASHED}))


SURELY_SEEN_SECONDS = 4.0
"""A node away for less than the heartbeats' patience minus an interval cannot be missed."""


def ends(cell: Cell, seconds_away: float | None) -> tuple[End, ...]:
    """Return the ends that are right for a cell.

    `seconds_away` is how long the victims were away, None when they came back only after the end. Who is back in
    time is not lost; who comes back later may or may not have been missed.
    """
    if cell.state is State.CLEANUP or not cell.victim.is_agent or cell.victim is Victim.SPARE:
        return (_UNTOUCHED,)
    if cell.fault is Fault.PART:
        return (_REPLACED_WITHOUT_BLAME,)
    lost = _lost(cell)
    if cell.fault is Fault.RESTART and seconds_away is not None:
        here = _WITHOUT_ITS_SHARE if cell.state is State.DELIVERING else _UNTOUCHED
        return (here,) if seconds_away < SURELY_SEEN_SECONDS else (here, lost)
    return (lost,)


def _lost(cell: Cell) -> End:
    if cell.state is State.DELIVERING:
        return _UNTOUCHED if cell.victim is Victim.OWNER else _WITHOUT_ITS_SHARE
    if cell.victim is Victim.OWNER:
        return _OWNER_LOST
    return _BOTH_REPLACED if cell.victim is Victim.TWO_MPCS else _REPLACED
