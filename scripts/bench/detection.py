"""False accusations and liars found, first modelled over many machines, then measured on this one.

    python -m scripts.bench.detection [--probes 1000] [--real 0] [--json FILE]

`--real N` lets this machine answer N probes of its own, every core busy with other work, and then as
many (at most 20) in which it declares eight times its cores. Exit 1 when an honest node is accused.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from node_agent.detection.desk import limits_of
from node_agent.detection.findings import Findings, Suspicion, suspicions
from node_agent.detection.measuring import LocalAnswerer, measure
from node_agent.detection.plan import Allowance, Declared
from node_agent.detection.speed import core_speed
from node_agent.detection.verdict import ROUNDS, Round
from node_agent.detection.workbench import Workbench
from node_agent.resources import memory_limit_bytes, usable_cores
from scripts.bench.detection_model import HONEST, Conduct, Machine, World, declared_truly, probe
from soterone.domain.detection import Kind
from soterone.domain.profiles import REFERENCE_CORE_SPEED, reference_cores

_KIB = 1024
_SEED = 20
_LIARS_AT_MOST = 20
_LIE = 8
_VERSION = 256

MACHINES = {
    "1 core": Machine(1, 1),
    "2 cores": Machine(2, 2),
    "16 threads on 8 cores": Machine(16, 8),
    "64 threads on 32 slow cores": Machine(64, 32, speed=5),
}
WORLDS = {
    "idle": World(),
    "full": World(load=1),
    "full, 200 ms of jitter": World(load=1, jitter_seconds=0.2),
    "full by bursts": World(load=1, bursts=1),
    "four times full": World(load=4, bursts=0.5),
}
TWO_CORES = Machine(2, 2)
TRUE_SPEED = round(1000 * TWO_CORES.speed)
UNTOLD = REFERENCE_CORE_SPEED
LIARS = {
    "16 on 2": (TRUE_SPEED, HONEST),
    "16 on 2, yardstick delayed 8 times": (TRUE_SPEED, Conduct(delay=8)),
    "16 on 2, delayed, no speed declared": (UNTOLD, Conduct(delay=8)),
    "16 on 2, delayed, an eighth of the speed declared": (TRUE_SPEED // 8, Conduct(delay=8)),
    "16 on 2, delayed, tells detectors a load of 16": (TRUE_SPEED, Conduct(8, told_load=16)),
    "16 on 2, delayed, tells detectors a load of 32": (TRUE_SPEED, Conduct(8, told_load=32)),
    "16 on 2, delayed, tells detectors a load of 32, no speed": (UNTOLD, Conduct(8, told_load=32)),
    "16 on 2, delayed, tells everybody a load of 32": (
        TRUE_SPEED,
        Conduct(8, told_load=32, heartbeat_load=32),
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """How often a node was accused, and with how many reference cores it is planned with at most after a probe."""

    node: str
    world: str
    probes: int
    accused: int
    planned_cores: int

    @property
    def honest(self) -> bool:
        """Whether the node declared what it has."""
        return "honest" in self.node


def modelled(probes: int) -> Iterator[Row]:
    """Yield what happens to honest nodes, then to liars, each in `probes` probes of `ROUNDS` rounds."""
    dice = random.Random(_SEED)  # noqa: S311 - a model
    for name, machine in MACHINES.items():
        for place, world in WORLDS.items():
            yield _row(
                f"honest, {name}", place, machine, declared_truly(machine), world, HONEST, probes, dice
            )
    for name, (speed, conduct) in LIARS.items():
        declared = Declared(16, 16 * _KIB, speed)
        for place in ("idle", "full"):
            yield _row(f"liar, {name}", place, TWO_CORES, declared, WORLDS[place], conduct, probes, dice)


def _row(
    node: str,
    place: str,
    machine: Machine,
    declared: Declared,
    world: World,
    conduct: Conduct,
    probes: int,
    dice: random.Random,
) -> Row:
    played = [probe(machine, declared, world, conduct, dice) for _ in range(probes)]
    return _counted(node, place, declared, played)


def _counted(node: str, place: str, declared: Declared, played: Sequence[Sequence[Round]]) -> Row:
    found = [suspicions(Findings(declared, _VERSION, rounds=tuple(rounds))) for rounds in played]
    planned_cores = max(_planned_cores(declared, one) for one in found)
    return Row(node, place, len(found), sum(map(bool, found)), planned_cores)


def _planned_cores(declared: Declared, found: Sequence[Suspicion]) -> int:
    """What the coordinator plans with: as declared, and as measured once that is refuted."""
    told = reference_cores(declared.cores, declared.speed)
    refuted = (one.measured for one in found if one.kind is Kind.PROFILE)
    return min((told, *(reference_cores(one.cores, one.speed) for one in refuted)))


async def measured(probes: int) -> list[Row]:
    """Probe this machine, honest and lying, with every core busy."""
    speed = await asyncio.to_thread(core_speed)
    memory_mib = memory_limit_bytes() // 2**20
    honest, liar = (Declared(usable_cores() * times, memory_mib, speed) for times in (1, _LIE))
    rows = []
    with Progress(console=Console(stderr=True)) as progress, _every_core_busy():
        for name, declared, count in (
            ("this machine, honest", honest, probes),
            (f"this machine, {liar.cores} on {honest.cores}", liar, min(probes, _LIARS_AT_MOST)),
        ):
            task = progress.add_task(name, total=count)
            played = []
            for _ in range(count):
                played.append([await _real_round(declared) for _ in range(ROUNDS)])
                progress.advance(task)
            rows.append(_counted(name, "full", declared, played))
    return rows


async def _real_round(declared: Declared) -> Round:
    bench = await Workbench.start(limits_of(Allowance.of(declared)))
    try:
        return await measure(declared, LocalAnswerer(bench), secrets.token_bytes, time.monotonic)
    finally:
        await bench.stop()


@contextmanager
def _every_core_busy() -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=_burn, args=(os.getpid(),), daemon=True) for _ in range(usable_cores())]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.terminate()
            process.join()


def _burn(parent: int) -> None:
    while os.getppid() == parent:
        sum(range(100_000))


def main() -> int:
    """Run the bench and print its table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--real", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [*modelled(given.probes), *(asyncio.run(measured(given.real)) if given.real else ())]
    table = Table("node", "load", "probes", "accused", "planned cores")
    for row in rows:
        table.add_row(row.node, row.world, str(row.probes), str(row.accused), str(row.planned_cores))
    Console().print(table)
    if given.json:
        document = [{name: getattr(row, name) for name in Row.__slots__} for row in rows]
        given.json.write_text(json.dumps(document, indent=2))
    return int(any(row.accused for row in rows if row.honest))


if __name__ == "__main__":
    sys.exit(main())
