"""What a detector asks of a node in one challenge, and what a node takes on at most. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from node_agent.detection.tasks import SEED_BYTES, TASK_MEMORY_KIB, Run
from soterone.domain.profiles import NodeProfile

MAX_LANES = 64
PAIRS = 5
STEPS = 3
MAX_MEMORY_MIB = 256
_MEMORY_SHARE = 8
_MIB = 2**20
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Declared:
    """What a profile says, in the units of a vote; `speed`: thousandths of the yardstick task a second."""

    cores: int
    memory_mib: int
    speed: int

    @classmethod
    def of(cls, profile: NodeProfile) -> "Declared":
        """Read a profile."""
        return cls(profile.cpu_cores, profile.memory_bytes // _MIB, profile.speed)

    @property
    def lanes(self) -> int:
        """How many lanes a run against this profile has."""
        return min(self.cores, MAX_LANES)

    @property
    def memory_asked_mib(self) -> int:
        """How much memory a challenge makes the node fill at once: an eighth of it, and never much."""
        return max(1, min(self.memory_mib // _MEMORY_SHARE, MAX_MEMORY_MIB))


@dataclass(frozen=True, slots=True)
class Challenge:
    """The runs of one challenge, in order: a yardstick and all lanes by turns, then one that fills memory."""

    pairs: tuple[tuple[Run, Run], ...]
    memory: Run


def plan(declared: Declared, randomness: Callable[[int], bytes]) -> Challenge:
    """Return a challenge against a profile with fresh seeds from `randomness(bytes)`."""

    def run(lanes: int) -> Run:
        return Run(randomness(SEED_BYTES), lanes, STEPS)

    pairs = tuple((run(1), run(declared.lanes)) for _ in range(PAIRS))
    memory = Run(randomness(SEED_BYTES), 1, 1, declared.memory_asked_mib * _KIB_PER_MIB, passes=1)
    return Challenge(pairs, memory)


@dataclass(slots=True)
class Allowance:
    """What a node still does for one challenge. It covers what `plan` asks of the node's own profile, and no more."""

    lanes: int
    memory_kib: int
    kib_passes: int

    @classmethod
    def of(cls, declared: Declared) -> "Allowance":
        """The whole allowance of a challenge against this profile."""
        asked = plan(declared, bytes)
        spent = sum(run.kib_passes for pair in asked.pairs for run in pair)
        memory_kib = max(declared.memory_asked_mib * _KIB_PER_MIB, declared.lanes * TASK_MEMORY_KIB)
        return cls(declared.lanes, memory_kib, spent + asked.memory.kib_passes)

    def spend(self, run: Run) -> bool:
        """Take a run off the allowance; False, and nothing is taken, when it does not fit."""
        fits = (
            len(run.seed) == SEED_BYTES
            and 1 <= run.lanes <= self.lanes
            and run.steps >= 1
            and run.passes >= 1
            and run.memory_kib >= 8
            and run.lanes * run.memory_kib <= self.memory_kib
            and run.kib_passes <= self.kib_passes
        )
        if fits:
            self.kib_passes -= run.kib_passes
        return fits
