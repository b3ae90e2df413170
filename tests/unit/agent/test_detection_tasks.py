"""The work of a challenge: what it costs, that it cannot be shortened, and what a node takes on."""

import secrets
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_agent.detection.desk import limits_of
from node_agent.detection.measuring import Answer, measure
from node_agent.detection.plan import PAIRS, Allowance, Declared, plan
from node_agent.detection.tasks import Run, answers, lane_answer

SMALL = Run(bytes(32), lanes=3, steps=2, memory_kib=64, passes=1)
declared_profiles = st.builds(Declared, st.integers(1, 4096), st.integers(1, 2**20), st.integers(0, 100_000))


def test_a_run_answers_each_of_its_lanes() -> None:
    assert answers(SMALL) == [lane_answer(SMALL, lane) for lane in range(3)]


def test_the_answers_of_different_lanes_seeds_and_costs_differ() -> None:
    others = [
        replace(SMALL, seed=b"\1" * 32),
        replace(SMALL, steps=1),
        replace(SMALL, memory_kib=72),
        replace(SMALL, passes=2),
    ]
    found = [*answers(SMALL), *(lane_answer(one, 0) for one in others)]
    assert len(set(found)) == len(found)


def test_the_task_is_the_one_that_speeds_are_told_in() -> None:
    """A changed task would make every declared speed a lie."""
    known = lane_answer(Run(bytes(32), lanes=1, steps=1), 0)
    assert known.hex() == "1c2e622b7de57b70a10517ddd8a0bb4701566465c1ec669ea8009284010bb5aa"


@pytest.mark.parametrize("threads", [1, 2, 16, 64, 256])
def test_the_slowest_honest_machine_has_the_processor_time_for_a_challenge(threads: int) -> None:
    """Two threads on one core do 1.25 times the work of one; `speed` is in thousandths of a task a second."""
    declared = Declared(threads, 16_384, speed=5_000)
    asked = plan(declared, secrets.token_bytes)
    tasks = sum(run.lanes * run.steps for pair in asked.pairs for run in pair) + 1
    needed_seconds = tasks / (0.625 * declared.speed / 1000)
    assert needed_seconds < limits_of(Allowance.of(declared)).cpu_seconds


@settings(deadline=None)
@given(declared_profiles)
def test_a_node_takes_on_what_is_planned_for_its_profile_once(declared: Declared) -> None:
    challenge, allowance = plan(declared, secrets.token_bytes), Allowance.of(declared)
    runs = [*(run for pair in challenge.pairs for run in pair), challenge.memory]
    assert all(allowance.spend(run) for run in runs)
    assert allowance.kib_passes == 0
    assert not allowance.spend(challenge.memory)


@settings(deadline=None)
@given(declared_profiles)
def test_every_seed_is_fresh_and_what_is_asked_is_bounded(declared: Declared) -> None:
    challenge = plan(declared, secrets.token_bytes)
    runs = [*(run for pair in challenge.pairs for run in pair), challenge.memory]
    assert len({run.seed for run in runs}) == 2 * PAIRS + 1
    assert max(run.lanes for run in runs) <= 64
    assert challenge.memory.memory_kib <= 256 * 1024


@pytest.mark.parametrize(
    "greedy",
    [
        Run(bytes(32), lanes=3, steps=1),
        Run(bytes(32), lanes=0, steps=1),
        Run(bytes(32), lanes=1, steps=0),
        Run(bytes(32), lanes=1, steps=10_000),
        Run(bytes(32), lanes=1, steps=1, memory_kib=2**30),
        Run(bytes(32), lanes=1, steps=1, memory_kib=7),
        Run(bytes(32), lanes=1, steps=1, passes=0),
        Run(bytes(31), lanes=1, steps=1),
    ],
)
def test_a_node_takes_on_nothing_else(greedy: Run) -> None:
    allowance = Allowance.of(Declared(2, 1024, 0))
    before = allowance.kib_passes
    assert not allowance.spend(greedy)
    assert allowance.kib_passes == before


class Echo:
    """A node that answers as it is told, at the pace of a clock that the test moves."""

    def __init__(self, *, wrong_lanes: int = 0, missing: bool = False) -> None:
        self.now = 0.0
        self.wrong_lanes, self.missing = wrong_lanes, missing

    async def round_trip_seconds(self) -> float:
        return 0.25

    async def answer(self, run: Run) -> Answer:
        self.now += 0.25 + run.lanes
        right = [lane_answer(run, lane) for lane in range(run.lanes)]
        lies = [bytes(32)] * min(self.wrong_lanes, run.lanes)
        lanes = (*lies, *right[len(lies) :])
        return Answer(lanes[:-1] if self.missing else lanes, load=run.lanes)


ONE_CORE = Declared(1, 8, 0)


async def test_the_round_trip_is_no_work() -> None:
    node = Echo()
    found = await measure(ONE_CORE, node, secrets.token_bytes, lambda: node.now)
    assert [(pair.yardstick_seconds, pair.parallel_seconds) for pair in found.pairs] == [(1, 1)] * PAIRS
    assert (found.lanes, found.memory_shown_mib, found.wrong) == (1, 1, False)
    assert [pair.load for pair in found.pairs] == [1.0] * PAIRS


@pytest.mark.parametrize("node", [Echo(wrong_lanes=1), Echo(missing=True)])
async def test_a_false_or_missing_answer_is_seen_and_ends_the_round(node: Echo) -> None:
    found = await measure(ONE_CORE, node, secrets.token_bytes, lambda: node.now)
    assert found.wrong
    assert found.pairs == ()
    assert found.memory_shown_mib == 0
