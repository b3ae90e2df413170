"""The detector's side of a challenge: has runs worked off, one after the other, takes the time and checks answers.

Of each run one lane, chosen in secret after the answers came, is computed again here.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node_agent.detection.plan import Challenge, Declared, plan
from node_agent.detection.tasks import Run, lane_answer
from node_agent.detection.verdict import Pair, Round
from node_agent.detection.workbench import Workbench
from node_agent.resources import runnable_tasks

_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of a run: the end of each lane, and how many other tasks the node said were runnable."""

    lanes: tuple[bytes, ...]
    load: float


class Answerer(Protocol):
    """Who is challenged."""

    async def round_trip_seconds(self) -> float:
        """Return how long a message and its echo take, at best of some."""

    async def answer(self, run: Run) -> Answer:
        """Have a run worked off."""


class LocalAnswerer:
    """This very machine, without a network."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    async def round_trip_seconds(self) -> float:
        """See Answerer."""
        return 0.0

    async def answer(self, run: Run) -> Answer:
        """See Answerer."""
        before = runnable_tasks()
        lanes = await self._bench.run(run)
        return Answer(tuple(lanes), max(before, runnable_tasks()))


@dataclass(slots=True)
class _Taken:
    seconds: float
    answer: Answer


async def measure(
    declared: Declared, node: Answerer, randomness: Callable[[int], bytes], clock: Callable[[], float]
) -> Round:
    """Return one round against a profile. What `node` raises ends it; a wrong answer ends it early, and is in it."""
    challenge = plan(declared, randomness)
    round_trip_seconds = await node.round_trip_seconds()
    pairs: list[Pair] = []
    for yardstick, parallel in challenge.pairs:
        taken = [await _take(node, run, clock) for run in (yardstick, parallel)]
        if not await _right((yardstick, parallel), taken):
            return _round(declared, challenge, pairs, memory_shown_mib=0, wrong=True)
        one, all_lanes = (max(0.0, each.seconds - round_trip_seconds) for each in taken)
        pairs.append(Pair(one, all_lanes, max(each.answer.load for each in taken)))
    memory = await _take(node, challenge.memory, clock)
    right = await _right((challenge.memory,), [memory])
    shown = challenge.memory.memory_kib // _KIB_PER_MIB if right else 0
    return _round(declared, challenge, pairs, shown, wrong=not right)


async def _take(node: Answerer, run: Run, clock: Callable[[], float]) -> _Taken:
    started = clock()
    answer = await node.answer(run)
    return _Taken(clock() - started, answer)


async def _right(runs: tuple[Run, ...], taken: list[_Taken]) -> bool:
    """Whether a lane of each run, drawn now, ends as it must."""
    for run, one in zip(runs, taken, strict=True):
        if len(one.answer.lanes) != run.lanes:
            return False
        lane = secrets.randbelow(run.lanes)
        if await asyncio.to_thread(lane_answer, run, lane) != one.answer.lanes[lane]:
            return False
    return True


def _round(
    declared: Declared, challenge: Challenge, pairs: list[Pair], memory_shown_mib: int, *, wrong: bool
) -> Round:
    steps = challenge.pairs[0][1].steps
    return Round(declared.lanes, steps, tuple(pairs), memory_shown_mib, wrong)
