"""Many cells: in as few networks as possible, a new one after a failure, so that one failure does not cascade."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from scripts.chaos.cells import NETWORK_FAULTS, Cell
from scripts.chaos.ground import Ground
from scripts.chaos.namespaces import Namespaces
from scripts.chaos.outcome import Complaint, Outcome, Verdict
from scripts.chaos.runner import Runner
from scripts.chaos.watch import NotReached
from scripts.devnet.process import ProcessError
from soterone.client.errors import ClientError

FAILED = "failed"
"""The file that marks a network in which something failed, or that was interrupted."""


def run_cells(cells: Sequence[Cell], place: Path, *, with_cuts: bool, keep: bool) -> Iterator[Outcome]:
    """Yield the outcome of each cell in turn. Networks live under `place`; those without a failure go unless `keep`."""
    number = 0
    for _, group in groupby(cells, lambda cell: cell.postgres):
        waiting = list(group)
        while waiting:
            number += 1
            folder = place / f"network-{number}"
            folder.mkdir(parents=True)
            namespaces = Namespaces() if with_cuts else None
            run = yield from _in_one_network(waiting, Ground(folder, namespaces, waiting[0].postgres))
            if not keep and not (folder / FAILED).exists():
                shutil.rmtree(folder)
            waiting = waiting[run:]


def _in_one_network(cells: Sequence[Cell], ground: Ground) -> Generator[Outcome, None, int]:
    """Run cells until one fails; returns how many were run. A failure leaves a mark in the network's folder."""
    (ground.folder / FAILED).touch()
    try:
        try:
            ground.start()
            runner = Runner(ground)
            runner.calm()
        except (ProcessError, ClientError, NotReached) as error:
            yield Outcome(
                cells[0], complaints=(Complaint(Verdict.MISSED, f"no network to run it in: {error}"),)
            )
            return 1
        for number, cell in enumerate(cells, 1):
            if cell.fault in NETWORK_FAULTS and ground.namespaces is None:
                yield Outcome(cell, skipped="no network namespaces here, so no link can be cut")
                continue
            outcome = runner.run(cell)
            yield outcome
            if outcome.verdict is not Verdict.OK:
                return number
        (ground.folder / FAILED).unlink()
        return len(cells)
    finally:
        ground.stop()
