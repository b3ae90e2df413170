"""Many cells: in as few networks as possible, a new one after a failure, so that one failure does not cascade."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from scripts.chaos.cells import Cell, Fault
from scripts.chaos.ground import Ground
from scripts.chaos.namespaces import Namespaces
from scripts.chaos.outcome import Outcome, Verdict
from scripts.chaos.runner import Runner


def run_cells(cells: Sequence[Cell], place: Path, *, with_cuts: bool) -> Iterator[Outcome]:
    """Yield the outcome of each cell in turn. Networks live under `place`; those without a failure are removed."""
    number = 0
    for _, group in groupby(cells, lambda cell: cell.postgres):
        waiting = list(group)
        while waiting:
            number += 1
            run = yield from _in_one_network(waiting, place / f"network-{number}", with_cuts=with_cuts)
            waiting = waiting[run:]


def _in_one_network(cells: Sequence[Cell], folder: Path, *, with_cuts: bool) -> Generator[Outcome, None, int]:
    """Run cells until one fails; returns how many were run. The network's folder stays if one failed."""
    folder.mkdir(parents=True)
    ground = Ground(folder, Namespaces() if with_cuts else None)
    failed = True
    try:
        ground.start()
        runner = Runner(ground)
        runner.calm()
        for number, cell in enumerate(cells, 1):
            if cell.fault is Fault.CUT and not with_cuts:
                yield Outcome(cell, skipped="no network namespaces here, so no link can be cut")
                continue
            outcome = runner.run(cell)
            yield outcome
            if outcome.verdict is not Verdict.OK:
                return number
        failed = False
        return len(cells)
    finally:
        ground.stop()
        if not failed:
            shutil.rmtree(folder)
