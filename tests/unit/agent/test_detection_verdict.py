"""Who is accused of a false profile, and who never is."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_agent.detection.plan import STEPS, Declared
from node_agent.detection.snapshots import Snapshot, judge_snapshots
from node_agent.detection.verdict import (
    NOTHING_SHOWN,
    ROUNDS,
    Opinion,
    Pair,
    Round,
    judge_profile,
)
from scripts.bench.detection import MACHINES, WORLDS, modelled
from scripts.bench.detection_model import HONEST, Conduct, Machine, World, declared_truly, probe
from soterone.domain.detection import Measurement
from soterone.domain.profiles import NodeProfile, reference_cores

TWO_CORES = Machine(2, 2)
SIXTEEN = Declared(16, 16_384, 20_000)
IDLE = World()
SHOWN_MIB = SIXTEEN.memory_asked_mib

machines = st.builds(
    lambda cores, threads_a_core, speed: Machine(cores * threads_a_core, cores, speed),
    st.integers(1, 64),
    st.integers(1, 2),
    st.floats(0.5, 100),
)
worlds = st.builds(
    World,
    load=st.floats(0, 8),
    bursts=st.floats(0, 0.5),
    noise=st.floats(0, 0.15),
    jitter_seconds=st.floats(0.001, 0.05),
)
dice = st.integers(0, 2**32).map(random.Random)


def rounds(*pairs: Pair, memory_mib: int = SHOWN_MIB, wrong: bool = False) -> list[Round]:
    return [Round(16, STEPS, pairs, memory_mib, wrong)] * ROUNDS


HONEST_PAIR = Pair(0.1, 0.12, 0)


@settings(deadline=None)
@given(machines, worlds, dice)
def test_an_honest_node_is_never_accused(machine: Machine, world: World, chance: random.Random) -> None:
    declared = declared_truly(machine)
    found = judge_profile(declared, probe(machine, declared, world, HONEST, chance))
    assert found.opinion is Opinion.TRUE
    assert found.measured is not None
    assert found.measured.cores == declared.cores


def test_a_thousand_probes_accuse_nobody_honest_and_leave_no_lie_to_plan_with() -> None:
    """Who tells everybody of a load is not accused, but drawn last."""
    rows = list(modelled(1000))
    honest = [row for row in rows if row.honest]
    assert len(honest) == len(MACHINES) * len(WORLDS)
    assert [row for row in honest if row.accused] == []
    lies = [row for row in rows if not row.honest and "tells everybody" not in row.node]
    assert max(row.planned_cores for row in lies) <= 4


@settings(deadline=None)
@given(dice, st.floats(0, 2))
def test_sixteen_cores_on_two_are_found_in_two_rounds(chance: random.Random, load: float) -> None:
    found = judge_profile(SIXTEEN, probe(TWO_CORES, SIXTEEN, World(load=load), HONEST, chance))
    assert found.opinion is Opinion.FALSE
    assert found.measured is not None
    assert found.measured.cores <= 4


@settings(deadline=None)
@given(dice, st.floats(1, 100))
def test_delaying_the_yardstick_hides_nothing(chance: random.Random, delay: float) -> None:
    found = judge_profile(SIXTEEN, probe(TWO_CORES, SIXTEEN, IDLE, Conduct(delay), chance))
    assert found.opinion is Opinion.FALSE


@settings(deadline=None)
@given(dice, st.floats(8, 100))
def test_a_load_told_to_detectors_alone_excuses_nothing(chance: random.Random, delay: float) -> None:
    alone = Conduct(delay, told_load=64.0)
    assert judge_profile(SIXTEEN, probe(TWO_CORES, SIXTEEN, IDLE, alone, chance)).opinion is Opinion.FALSE
    everywhere = replace(alone, heartbeat_load=64.0)
    assert judge_profile(SIXTEEN, probe(TWO_CORES, SIXTEEN, IDLE, everywhere, chance)).opinion is Opinion.TRUE


@settings(deadline=None)
@given(dice, st.floats(8, 100))
def test_two_loads_are_a_lie_even_where_the_coordinator_is_silent(
    chance: random.Random, delay: float
) -> None:
    told = probe(TWO_CORES, SIXTEEN, IDLE, Conduct(delay, told_load=64.0), chance)
    seen = [replace(one, load_in_heartbeats=None) for one in told]
    assert judge_profile(SIXTEEN, seen).opinion is Opinion.TRUE
    snapshots = [Snapshot(load_1min=1.0, memory_total_bytes=SIXTEEN.memory_mib * 2**20)] * ROUNDS
    assert judge_snapshots(SIXTEEN, seen, snapshots).opinion is Opinion.FALSE
    busy = [replace(one, load_1min=60.0) for one in snapshots]
    assert judge_snapshots(SIXTEEN, seen, busy).opinion is Opinion.TRUE


@settings(deadline=None)
@given(dice, st.floats(1, 100), st.sampled_from([None, 0.0, 64.0]))
def test_who_declares_no_speed_is_held_to_the_reference(
    chance: random.Random, delay: float, told_load: float | None
) -> None:
    untold = Declared.of(
        NodeProfile(name="n", endpoint="n:1", cpu_cores=16, memory_bytes=2**34, disk_bytes=0)
    )
    seen = probe(TWO_CORES, untold, IDLE, Conduct(delay, told_load), chance)
    assert judge_profile(untold, seen).opinion is Opinion.FALSE


@settings(deadline=None)
@given(dice, st.floats(1, 100), st.integers(1, 64_000))
def test_a_speed_declared_too_low_is_found_or_planned_with(
    chance: random.Random, delay: float, speed: int
) -> None:
    """Two cores of 20,000 do the work of 2.5 reference cores; four times as much, and noise, is not accused."""
    slow = replace(SIXTEEN, speed=speed)
    found = judge_profile(slow, probe(TWO_CORES, slow, IDLE, Conduct(delay), chance))
    if found.opinion is not Opinion.FALSE:
        assert reference_cores(slow.cores, slow.speed) <= 13
    else:
        assert found.measured is not None
        assert reference_cores(found.measured.cores, found.measured.speed) <= 4


@settings(deadline=None)
@given(machines, worlds, dice, st.floats(0, 1))
def test_an_honest_snapshot_is_never_called_false(
    machine: Machine, world: World, chance: random.Random, settled: float
) -> None:
    """A minute's average lags behind: after `settled` of a burst it shows that part of it."""
    declared = declared_truly(machine)
    seen = probe(machine, declared, world, HONEST, chance)
    loads = [pair.load for one in seen for pair in one.pairs]
    average = max(settled, 0.25) * max(loads)
    snapshots = [Snapshot(average, declared.memory_mib * 2**20)] * ROUNDS
    assert judge_snapshots(declared, seen, snapshots).opinion is Opinion.TRUE


def test_one_round_accuses_nobody() -> None:
    (one,) = set(rounds(Pair(0.1, 1.6, 0)))
    assert judge_profile(SIXTEEN, [one]).opinion is Opinion.UNDECIDED
    assert judge_profile(SIXTEEN, [one, one]).opinion is Opinion.FALSE


def test_one_good_round_clears() -> None:
    slow = rounds(Pair(0.1, 1.6, 0))[0]
    good = rounds(Pair(0.1, 1.6, 0), HONEST_PAIR, HONEST_PAIR)[0]
    assert judge_profile(SIXTEEN, [slow, good]).opinion is Opinion.TRUE


def test_one_lucky_run_hides_nothing() -> None:
    slow = Pair(0.1, 1.6, 0)
    assert judge_profile(SIXTEEN, rounds(slow, slow, HONEST_PAIR)).opinion is Opinion.FALSE


def test_what_was_measured_is_said() -> None:
    found = judge_profile(SIXTEEN, rounds(Pair(0.1, 0.8, 0)))
    assert found.measured == Measurement(cores=2, memory_mib=16_384, speed=30_000)
    assert found.sentence == "16 lanes did the work of 2.00 at best."


def test_the_declared_speed_is_held_against_the_load_told() -> None:
    slow = Pair(1.0, 1.0, 0)
    assert judge_profile(SIXTEEN, rounds(slow)).opinion is Opinion.FALSE
    assert judge_profile(SIXTEEN, rounds(replace(slow, load=48))).opinion is Opinion.TRUE
    told = [replace(one, load_in_heartbeats=3.0) for one in rounds(replace(slow, load=48))]
    assert judge_profile(SIXTEEN, told).opinion is Opinion.FALSE
    assert judge_profile(SIXTEEN, [replace(one, load_in_heartbeats=48.0) for one in told]).opinion is (
        Opinion.TRUE
    )


def test_wrong_answers_in_every_round_refute_everything() -> None:
    assert judge_profile(SIXTEEN, rounds(HONEST_PAIR, wrong=True)).measured == NOTHING_SHOWN


def test_the_pairs_of_a_wrong_round_do_not_count() -> None:
    slow, wrong = rounds(Pair(0.1, 1.6, 0))[0], rounds(HONEST_PAIR, wrong=True)[0]
    assert judge_profile(SIXTEEN, [slow, wrong]).opinion is Opinion.FALSE


def test_memory_that_is_never_filled_is_not_believed() -> None:
    found = judge_profile(SIXTEEN, rounds(HONEST_PAIR, memory_mib=0))
    assert found.opinion is Opinion.FALSE
    assert found.measured == Measurement(cores=16, memory_mib=1, speed=20_000)


def test_memory_is_believed_once_a_round_showed_it() -> None:
    without, shown = rounds(HONEST_PAIR, memory_mib=0)[0], rounds(HONEST_PAIR)[0]
    assert judge_profile(SIXTEEN, [without, shown]).opinion is Opinion.TRUE


@pytest.mark.parametrize("cores", [65, 4096])
def test_more_cores_than_lanes_are_neither_shown_nor_refuted(cores: int) -> None:
    many = replace(SIXTEEN, cores=cores)
    quick = [Round(64, STEPS, (Pair(0.1, 0.1, 0),), SHOWN_MIB)] * ROUNDS
    found = judge_profile(many, quick)
    assert found.opinion is Opinion.TRUE
    assert found.measured is not None
    assert found.measured.cores == cores


def test_heartbeats_that_tell_of_less_memory_than_the_profile_are_false() -> None:
    told = [Snapshot(load_1min=0.0, memory_total_bytes=4 * 2**30)] * ROUNDS
    assert judge_snapshots(SIXTEEN, rounds(HONEST_PAIR), told).opinion is Opinion.FALSE
    assert judge_snapshots(SIXTEEN, rounds(HONEST_PAIR)[:1], told).opinion is Opinion.UNDECIDED
