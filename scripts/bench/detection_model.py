"""A model of machines that answer challenges, for what cannot be tried on one: many cores, loads and distances.

Runnable tasks share a machine alike (Linux's fair scheduler); two threads of one core together do less than twice the
work of one. What is drawn: noise of each run, load that comes and goes, jitter of the network.
"""

import random
from dataclasses import dataclass

from node_agent.detection.plan import PAIRS, STEPS, Declared
from node_agent.detection.verdict import ROUNDS, Pair, Round

_MIB_OF_NODE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node has: `threads` as the operating system counts them, `cores` of silicon, tasks a second of one."""

    threads: int
    cores: int
    speed: float = 20.0
    second_thread: float = 0.25

    def work(self, runnable: float) -> float:
        """Tasks a second that so many runnable tasks get done together."""
        whole = min(runnable, self.cores)
        return self.speed * (whole + self.second_thread * max(0.0, min(runnable, self.threads) - self.cores))

    def seconds(self, lanes: int, load: float) -> float:
        """How long a run of `lanes` takes beside `load` runnable tasks."""
        return STEPS * lanes / (self.work(lanes + load) * lanes / (lanes + load))


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a node answers. `delay`: times longer that it lets the yardstick take. `told_load`, and `heartbeat_load`
    in its heartbeats, None: the truth."""

    delay: float = 1.0
    told_load: float | None = None
    heartbeat_load: float | None = None


HONEST = Conduct()


@dataclass(frozen=True, slots=True)
class World:
    """Load a thread (mean), how much of it comes and goes, noise of a run, and the network's jitter in seconds."""

    load: float = 0.0
    bursts: float = 0.0
    noise: float = 0.15
    jitter_seconds: float = 0.01


def probe(
    machine: Machine, declared: Declared, world: World, conduct: Conduct, dice: random.Random
) -> list[Round]:
    """Return the rounds of one probe."""
    return [_round(machine, declared, world, conduct, dice) for _ in range(ROUNDS)]


def declared_truly(machine: Machine) -> Declared:
    """What `soter-node init` measures on an idle machine."""
    return Declared(machine.threads, _MIB_OF_NODE, round(1000 * machine.speed))


def _round(
    machine: Machine, declared: Declared, world: World, conduct: Conduct, dice: random.Random
) -> Round:
    pairs = tuple(_pair(machine, declared.lanes, world, conduct, dice) for _ in range(PAIRS))
    heartbeat_load = _average_load(machine, world, dice)
    if conduct.heartbeat_load is not None:
        heartbeat_load = conduct.heartbeat_load
    return Round(declared.lanes, STEPS, pairs, declared.memory_asked_mib, load_in_heartbeats=heartbeat_load)


def _pair(machine: Machine, lanes: int, world: World, conduct: Conduct, dice: random.Random) -> Pair:
    loads = [_load(machine, world, dice) for _ in range(2)]
    noises = [dice.lognormvariate(0, world.noise) for _ in range(2)]
    jitters = [dice.expovariate(1 / world.jitter_seconds) for _ in range(2)]
    told = max(loads) if conduct.told_load is None else conduct.told_load
    return Pair(
        machine.seconds(1, loads[0]) * noises[0] * conduct.delay + jitters[0],
        machine.seconds(lanes, loads[1]) * noises[1] + jitters[1],
        told,
    )


def _average_load(machine: Machine, world: World, dice: random.Random) -> float:
    """What heartbeats tell: a minute's average, which lags behind by up to three quarters of a burst."""
    return _load(machine, world, dice) * dice.uniform(1 - 0.75 * min(1.0, 2 * world.bursts), 1)


def _load(machine: Machine, world: World, dice: random.Random) -> float:
    mean = world.load * machine.threads
    return mean * (1 - world.bursts) + dice.uniform(0, 2 * mean) * world.bursts
