"""The matrix as a person reads it: victim by fault and state, with the seconds that each cell took to recover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scripts.chaos.cells import State
from scripts.chaos.outcome import Outcome, Verdict

_STYLES = {Verdict.OK: "green", Verdict.SKIPPED: "yellow"}


def line_of(outcome: Outcome) -> str:
    """Return one cell in one line, its complaints below."""
    times = outcome.times
    steps = [
        ("replaced", times.replaced), ("training", times.training), ("ended", times.ended), ("away for", times.away)
    ]  # fmt: skip
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in steps if seconds is not None)
    style = _STYLES.get(outcome.verdict, "red")
    end = outcome.end or outcome.skipped
    took = f"[dim]{told} (cell {outcome.seconds:.0f} s)[/]"
    head = f"[{style}]{outcome.verdict:8}[/] {outcome.cell.name:36} {end}  {took}"
    return "\n".join([head, *(f"         {one.verdict}: {one.sentence}" for one in outcome.complaints)])


def print_matrix(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a row for each victim and fault, a column for each state; seconds from the fault to the end."""
    table = Table(
        "victim", "fault", *State, title="seconds from the fault to the query's end", title_justify="left"
    )
    rows = dict.fromkeys((one.cell.victim, one.cell.fault, one.cell.postgres) for one in outcomes)
    by_place = {(one.cell.victim, one.cell.fault, one.cell.postgres, one.cell.state): one for one in outcomes}
    for victim, fault, postgres in rows:
        cells = [_cell(by_place.get((victim, fault, postgres, state))) for state in State]
        table.add_row(f"{victim}{' @postgres' if postgres else ''}", fault, *cells)
    console.print(table)


def closing_line(outcomes: Sequence[Outcome]) -> str:
    """Return the last line; cells that were not run do not count."""
    counted = Counter(one.verdict for one in outcomes)
    run = len(outcomes) - counted[Verdict.SKIPPED]
    line = (
        f"chaos: {run} cells, {counted[Verdict.LOST]} lost, {counted[Verdict.DOUBLED]} doubled, "
        f"{counted[Verdict.STUCK]} stuck"
    )
    others = [
        f"{counted[verdict]} {verdict}"
        for verdict in (Verdict.WRONG, Verdict.MISSED, Verdict.SKIPPED)
        if counted[verdict]
    ]
    return f"{line} ({', '.join(others)})" if others else line


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if outcome.verdict is not Verdict.OK:
        return f"[{_STYLES.get(outcome.verdict, 'bold red')}]{outcome.verdict}[/]"
    ended = outcome.times.ended
    return "ok" if ended is None else f"{ended:.1f}"
