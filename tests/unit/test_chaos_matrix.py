"""The matrix of chaos is whole, says beforehand how each cell may end, and counts what went wrong."""

from collections import Counter

import pytest

from scripts.chaos.cells import Cell, Fault, State, Victim, chosen, matrix
from scripts.chaos.expectations import CRASHED, ends
from scripts.chaos.outcome import Complaint, Outcome, Verdict
from scripts.chaos.report import closing_line
from soterone.domain.failures import FailureReason


def test_the_matrix_has_every_victim_state_and_fault_and_no_cell_twice() -> None:
    cells = matrix()
    assert len(cells) >= 120
    assert Counter(cell.name for cell in cells).most_common(1)[0][1] == 1
    assert {cell.victim for cell in cells} == set(Victim)
    assert {cell.state for cell in cells} == set(State)
    assert {cell.fault for cell in cells} == set(Fault)


def test_cells_are_chosen_by_name_and_pattern() -> None:
    assert chosen([]) == matrix()
    assert [cell.name for cell in chosen(["mpc/training/kill"])] == ["mpc/training/kill"]
    assert {cell.state for cell in chosen(["leader/*/kill"])} == set(State)
    assert chosen(["nobody/*"]) == []


@pytest.mark.parametrize(
    ("cell", "away", "expected"),
    [
        (Cell(Victim.OWNER, State.TRAINING, Fault.KILL), None, {("failed", 0, FailureReason.OWNER_LOST)}),
        (Cell(Victim.OWNER, State.TRAINING, Fault.RESTART), 1.0, {("completed", 0, None)}),
        (
            Cell(Victim.OWNER, State.TRAINING, Fault.RESTART),
            5.0,
            {("completed", 0, None), ("failed", 0, FailureReason.OWNER_LOST)},
        ),
        (Cell(Victim.OWNER, State.DELIVERING, Fault.KILL), None, {("completed", 0, None)}),
        (Cell(Victim.MPC, State.SHARING, Fault.CUT), 12.0, {("completed", 1, None)}),
        (Cell(Victim.MPC, State.DELIVERING, Fault.KILL), None, {("completed", 0, None)}),
        (Cell(Victim.TWO_MPCS, State.TRAINING, Fault.KILL), None, {("completed", 2, None)}),
        (Cell(Victim.MPC, State.TRAINING, Fault.PART), None, {("completed", 1, None)}),
        (Cell(Victim.SPARE, State.TRAINING, Fault.KILL), None, {("completed", 0, None)}),
        (Cell(Victim.COORDINATOR, State.TRAINING, Fault.KILL), 12.0, {("completed", 0, None)}),
    ],
)
def test_how_a_cell_may_end_is_said_beforehand(
    cell: Cell, away: float | None, expected: set[tuple[str, int, FailureReason | None]]
) -> None:
    allowed = ends(cell, away)
    assert {(end.status, end.generation, end.reason) for end in allowed} == expected


def test_only_victims_that_were_lost_are_called_crashed() -> None:
    for cell in matrix():
        for end in ends(cell, None):
            lost = cell.fault is not Fault.PART and (end.status == "failed" or end.generation > 0)
            assert (end.observed == {CRASHED}) == lost, cell.name


def outcome(*verdicts: Verdict, skipped: str = "") -> Outcome:
    cell = Cell(Victim.MPC, State.TRAINING, Fault.KILL)
    return Outcome(cell, complaints=tuple(Complaint(one, "") for one in verdicts), skipped=skipped)


def test_the_closing_line_counts_every_cell_once_by_its_gravest_complaint() -> None:
    outcomes = [
        outcome(),
        outcome(Verdict.WRONG, Verdict.LOST, Verdict.STUCK),
        outcome(Verdict.WRONG, Verdict.DOUBLED),
        outcome(Verdict.STUCK, Verdict.WRONG),
        outcome(Verdict.WRONG),
        outcome(skipped="no cable to pull"),
    ]
    assert closing_line(outcomes) == "chaos: 5 cells, 1 lost, 1 doubled, 1 stuck (1 wrong, 1 skipped)"
    assert closing_line(outcomes[:1]) == "chaos: 1 cells, 0 lost, 0 doubled, 0 stuck"
